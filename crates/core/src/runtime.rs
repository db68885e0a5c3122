//! The one thread on which controllers and guards run.
//!
//! A process has one, started at first use and never stopped: an addon may be unloaded when the
//! last worker thread that loaded it ends, and a thread that still runs its code would crash then.
//! The binding pins the library in memory for the same reason.

use crate::panics;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::OnceLock;
use tokio::sync::mpsc;

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
            while let Some(job) = receiver.recv().await {
                tokio::task::spawn_local(async move { panics::catch(async move { job().await }).await });
            }
        });
    })?;
    // Two threads that race here start two runtimes once; the loser's ends when its sender drops.
    Ok(JOBS.get_or_init(|| sender))
}
