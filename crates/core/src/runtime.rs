//! The one thread on which controllers and guards run.
//!
//! A process has one, started at first use and never stopped: an addon may be unloaded when the
//! last worker thread that loaded it ends, and a thread that still runs its code would crash then.
//! The binding pins the library in memory for the same reason.

use crate::panics;
use crate::spin::{Look, Spin};
use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::Instant;
use tokio::sync::{Notify, mpsc};

type Job = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// Runs `start` on the core thread and then the future it gives, which need not be `Send`.
///
/// Returns at once. A panic ends the future, and nothing else.
///
/// # Errors
///
/// The thread or its reactor could not be started (no descriptors or threads left).
pub fn spawn<F, Fut>(start: F) -> io::Result<()>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let jobs = jobs()?;
    jobs.send(Box::new(move || Box::pin(start()))).map_err(|_| io::Error::other("the core thread has ended"))
}

/// Jobs are starts of controllers and nodes: their number is bounded by those, not by calls.
fn jobs() -> io::Result<&'static mpsc::UnboundedSender<Job>> {
    static JOBS: OnceLock<mpsc::UnboundedSender<Job>> = OnceLock::new();
    if let Some(jobs) = JOBS.get() {
        return Ok(jobs);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (sender, mut receiver) = mpsc::unbounded_channel::<Job>();
    std::thread::Builder::new().name("daffi-core".into()).spawn(move || {
        tokio::task::LocalSet::new().block_on(&runtime, async move {
            tokio::task::spawn_local(spin());
            while let Some(job) = receiver.recv().await {
                tokio::task::spawn_local(async move { panics::catch(async move { job().await }).await });
            }
        });
    })?;
    // Two threads that race here start two runtimes once; the loser's ends when its sender drops.
    Ok(JOBS.get_or_init(|| sender))
}

/// What the core thread knows of its own work, to tell whether to look for more before it sleeps.
#[derive(Default)]
struct Pulse {
    /// Rises with each batch that a controller takes.
    batches: Cell<u32>,
    /// Wakes the task that looks.
    beat: Notify,
    /// Whether that task sleeps.
    sleeps: Cell<bool>,
}

thread_local! {
    static PULSE: Rc<Pulse> = Rc::default();
}

/// A controller takes a batch of frames.
pub(crate) fn beat() {
    PULSE.with(|pulse| {
        pulse.batches.set(pulse.batches.get().wrapping_add(1));
        if pulse.sleeps.replace(false) {
            pulse.beat.notify_one();
        }
    });
}

/// Keeps the core thread from sleeping between batches that follow each other closely: while a task gives way again and
/// again, tokio asks the system for news and does not wait for them.
async fn spin() {
    let pulse = PULSE.with(Rc::clone);
    let mut spin = Spin::new();
    loop {
        spin.sleeps(Instant::now());
        pulse.sleeps.set(true);
        pulse.beat.notified().await;
        spin.woken(Instant::now());
        while let Some(mut spell) = spin.begin(Instant::now()) {
            let seen = pulse.batches.get();
            let look = loop {
                tokio::task::yield_now().await;
                match spin.look(&mut spell, Instant::now(), pulse.batches.get() != seen) {
                    Look::Again => std::thread::yield_now(),
                    look => break look,
                }
            };
            if look == Look::Sleep {
                break;
            }
        }
    }
}
