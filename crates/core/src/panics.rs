//! Panics of our own tasks. Each is a bug; it ends the connection it happened at, and nothing else: without this a task
//! would end in silence, and whoever waits for it would wait for ever.

use crate::error::CoreError;
use daffi_protocol::ErrorCode;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::Poll;

/// Runs `task`; `None` when it panicked. What it held was released as for any panic, what it said is
/// on the standard error output.
pub async fn catch<T>(task: impl Future<Output = T>) -> Option<T> {
    let mut task = pin!(task);
    poll_fn(|context| {
        // Locks here do not poison, and cells give their borrows back as they unwind.
        match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => Poll::Ready(Some(value)),
            Err(_) => {
                CAUGHT.fetch_add(1, Ordering::Relaxed);
                Poll::Ready(None)
            }
        }
    })
    .await
}

/// What is told of a connection that ended by a panic.
#[must_use]
pub fn error() -> CoreError {
    let message = "the native core panicked, which is a bug of daffi: please report what it printed";
    CoreError::new(ErrorCode::ConnectionLost, message)
}

/// Panics caught in this process so far.
#[must_use]
pub fn caught() -> u64 {
    CAUGHT.load(Ordering::Relaxed)
}

/// Where a test can have a panic happen: one in each kind of task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Place {
    /// The guard of a node that looks for its controller.
    Connect = 1,
    /// The guard of a node's connection.
    Guard,
    /// A controller that lets a connection in.
    Accept,
    /// A handshake at a controller.
    Handshake,
    /// A node's connection at its controller.
    Serve,
    /// What sends a controller's queued bytes.
    WriteOut,
    /// What sends what a controller gathered.
    Flush,
    /// The heartbeat of a controller.
    Heartbeat,
    /// What tells nodes of each other.
    Changes,
    /// A controller that asks its nodes to stop.
    StopNodes,
}

/// Every place, in the order of their numbers.
pub const PLACES: [Place; 10] = [
    Place::Connect,
    Place::Guard,
    Place::Accept,
    Place::Handshake,
    Place::Serve,
    Place::WriteOut,
    Place::Flush,
    Place::Heartbeat,
    Place::Changes,
    Place::StopNodes,
];

/// Has the next task that comes by `place` panic, once. For tests.
pub fn arm(place: Place) {
    ARMED.store(place as u8, Ordering::SeqCst);
}

/// Panics if a test armed this place.
#[expect(clippy::panic, reason = "a test wants to see what a panic does")]
pub(crate) fn may_happen(place: Place) {
    if ARMED.load(Ordering::Relaxed) == place as u8
        && ARMED.compare_exchange(place as u8, 0, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    {
        panic!("a test asked for a panic at {place:?}");
    }
}

static CAUGHT: AtomicU64 = AtomicU64::new(0);
static ARMED: AtomicU8 = AtomicU8::new(0);
