//! Times of two things against each other, on a machine that has other work.

use std::time::{Duration, Instant};

/// Rounds of each ratio.
const ROUNDS: usize = 400;
/// What one side of a round takes about: short enough to pass undisturbed now and then on a busy machine.
const ROUND: Duration = Duration::from_micros(60);

/// How many times as long as `reference` a run of `subject` takes.
///
/// Both take turns, and the fastest round of each counts: others at work can only make a round slower.
pub fn ratio(mut subject: impl FnMut(), mut reference: impl FnMut()) -> f64 {
    let (subject_runs, reference_runs) = (runs_a_round(&mut subject), runs_a_round(&mut reference));
    let (mut fastest, mut fastest_reference) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..ROUNDS {
        fastest = fastest.min(time(&mut subject, subject_runs));
        fastest_reference = fastest_reference.min(time(&mut reference, reference_runs));
    }
    fastest / fastest_reference
}

/// Seconds a run.
fn time(run: &mut impl FnMut(), runs: u32) -> f64 {
    let start = Instant::now();
    for _ in 0..runs {
        run();
    }
    start.elapsed().as_secs_f64() / f64::from(runs)
}

fn runs_a_round(run: &mut impl FnMut()) -> u32 {
    let mut runs = 1;
    while time(run, runs) * f64::from(runs) < ROUND.as_secs_f64() && runs < 1 << 20 {
        runs *= 2;
    }
    runs
}

/// The middle value; of no values 0.
pub fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}
