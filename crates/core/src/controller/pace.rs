//! When everybody is told of changes next. Pure: time is an argument.

use std::time::Duration;
use tokio::time::Instant;

/// Keeps telling from taking more than a tenth of the time: with thousands of nodes each telling writes to all of them,
/// and while they come up there is always something to tell.
///
/// So while changes follow each other all are told seldom. As soon as no more come they are told at once, as long as
/// that keeps to the tenth.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// While changes come, not before; `None` before the first.
    rests_until: Option<Instant>,
    /// The last change.
    changed_at: Option<Instant>,
    /// What telling took, less a tenth of the time since, as of the moment beside it.
    owed: Option<(Duration, Instant)>,
}

impl Pace {
    /// Something changed.
    pub const fn changed(&mut self, now: Instant) {
        self.changed_at = Some(now);
    }

    /// Whether all may be told at once, of a node that has begun to call.
    pub fn allows(&self, now: Instant) -> bool {
        self.rests_until.is_none_or(|until| until <= now)
    }

    /// How long after `now` it is time to tell of changes that began at `since`, as far as can be said now; zero when
    /// it is.
    pub fn delay(&self, since: Instant, now: Instant) -> Duration {
        let rested = self.rests_until.map_or(since + COALESCE, |until| until.max(since + COALESCE));
        let quiet = self.changed_at.map_or(rested, |changed_at| changed_at + COALESCE);
        let next = if self.owes(quiet.max(now)) < LOAN { rested.min(quiet) } else { rested };
        next.saturating_duration_since(now)
    }

    /// All have been told, which took from `begun` to `ended`.
    pub fn told(&mut self, begun: Instant, ended: Instant) {
        let took = ended.saturating_duration_since(begun);
        self.rests_until = Some(ended + took.saturating_mul(REST).min(LONGEST_REST));
        self.owed = Some((self.owes(ended) + took, ended));
    }

    fn owes(&self, now: Instant) -> Duration {
        self.owed.map_or(Duration::ZERO, |(owed, at)| owed.saturating_sub(now.saturating_duration_since(at) / REST))
    }
}

/// Changes within this time are told as one (RELIABILITY L2).
const COALESCE: Duration = Duration::from_millis(10);
/// So many times as long as it took nobody is told again while changes come.
const REST: u32 = 10;
/// But no longer than this.
const LONGEST_REST: Duration = Duration::from_secs(1);
/// Telling may have taken so much more than a tenth of the time when no more changes come.
const LOAN: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Changes at each of `every` until `until`, told when it is time, which takes `took`; gives when.
    fn all_told(pace: &mut Pace, start: Instant, every: Duration, until: Duration, took: Duration) -> Vec<Duration> {
        let (mut told, mut since, mut now, mut next) = (vec![], None, start, start);
        while now < start + until + ms(5000) {
            while next <= now && next <= start + until {
                pace.changed(now);
                since = since.or(Some(now));
                next += every;
            }
            if let Some(began) = since.filter(|began| pace.delay(*began, now).is_zero()) {
                assert!(began <= now);
                told.push(now - start);
                pace.told(now, now + took);
                (since, now) = (None, now + took);
            } else {
                now += ms(1);
            }
        }
        told
    }

    #[test]
    fn the_first_change_after_quiet_is_told_within_ten_milliseconds() {
        let mut pace = Pace::default();
        let start = Instant::now();
        pace.changed(start);
        assert_eq!(pace.delay(start, start), ms(10));
        assert!(pace.allows(start));
        pace.told(start, start + ms(50));
        assert!(!pace.allows(start + ms(549)));
        assert!(pace.allows(start + ms(550)));
        pace.changed(start + ms(5000));
        assert_eq!(pace.delay(start + ms(5000), start + ms(5004)), ms(6));
    }

    #[test]
    fn in_a_storm_telling_takes_a_tenth_of_the_time() {
        let told = all_told(&mut Pace::default(), Instant::now(), ms(1), ms(2000), ms(20));
        let during = told.iter().filter(|at| **at < ms(2000)).count();
        assert!((8..=10).contains(&during), "{told:?}");
    }

    #[test]
    fn the_end_of_a_storm_is_told_at_once() {
        let told = all_told(&mut Pace::default(), Instant::now(), ms(1), ms(300), ms(20));
        let last = *told.last().unwrap();
        // One telling may be under way at the last change.
        assert!((ms(300)..=ms(331)).contains(&last), "{told:?}");
    }

    #[test]
    fn changes_that_pause_in_between_cost_a_tenth_of_the_time_too() {
        for (every, took) in [(15, 5), (30, 20), (200, 100), (2000, 700)] {
            let time = ms(100_000);
            let told = all_told(&mut Pace::default(), Instant::now(), ms(every), time, ms(took));
            let share = (told.len() as f64 * ms(took).as_secs_f64() - LOAN.as_secs_f64()) / time.as_secs_f64();
            // A telling longer than the longest rest allows for is the exception.
            assert!(share <= 0.13 || took > 100, "{every} ms, {took} ms: {share}");
            let longest = told.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
            assert!(longest <= LONGEST_REST + ms(took + every + 10), "{every} ms, {took} ms: {longest:?}");
        }
    }

    #[test]
    fn nobody_waits_longer_than_a_second_however_long_telling_took() {
        let mut pace = Pace::default();
        let start = Instant::now();
        pace.told(start, start + ms(4000));
        pace.changed(start + ms(4000));
        assert_eq!(pace.delay(start + ms(4000), start + ms(4000)), ms(1000));
    }
}
