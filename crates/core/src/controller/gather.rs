//! When many connections are busy: what goes to one node leaves in one write at the end of a turn of the runtime.
//!
//! A batch is written on at once, from the buffer that it was read into. That is the fastest way as long as few
//! connections are ready at a time. With many of them each write carries a few frames, and the system calls cost more
//! than all the rest. So the flusher counts the batches of a turn: it is woken by one of them, stands behind all tasks
//! that were ready then, and so runs when these are through. While turns are full, small runs are gathered in a
//! buffer of their destination, which the flusher writes.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// Counts the batches of a turn, and knows for whom something is gathered.
#[derive(Debug)]
pub(super) struct Gatherer<T> {
    /// Batches since the flusher was woken, or since it last ran.
    batches: Cell<u32>,
    /// Runs are gathered.
    is_on: Cell<bool>,
    /// Turns in a row that were not full.
    calm: Cell<u32>,
    /// The flusher was woken and has not run.
    is_due: Cell<bool>,
    flusher: RefCell<Option<Waker>>,
    /// For whom something is gathered; some twice, when it was written in between.
    targets: RefCell<Vec<T>>,
    /// Buffers that were written, kept for their memory.
    buffers: RefCell<Vec<Vec<u8>>>,
}

impl<T> Gatherer<T> {
    pub fn new() -> Self {
        Self {
            batches: Cell::new(0),
            is_on: Cell::new(false),
            calm: Cell::new(0),
            is_due: Cell::new(false),
            flusher: RefCell::default(),
            targets: RefCell::default(),
            buffers: RefCell::default(),
        }
    }

    /// A connection has its turn, of which a batch will come.
    pub fn count(&self) {
        let batches = self.batches.get() + 1;
        self.batches.set(batches);
        if self.is_on.get() {
            self.wake();
        } else if batches >= SAMPLE_EVERY && !self.is_due.get() {
            // Waking it costs something, and a turn now and then tells enough.
            self.batches.set(1);
            self.wake();
        }
    }

    /// Whether so many batches came in this turn that what they left must not wait for its end.
    pub fn is_long(&self) -> bool {
        self.is_on.get() && self.batches.get().is_multiple_of(BATCHES_A_FLUSH)
    }

    /// Whether small runs are gathered.
    pub const fn is_on(&self) -> bool {
        self.is_on.get()
    }

    /// A buffer of [`GATHERED_BYTES`] to gather in for `target`; `None` when there are as many as there may be.
    pub fn begin(&self, target: T) -> Option<Vec<u8>> {
        let mut targets = self.targets.borrow_mut();
        if targets.len() >= MAX_TARGETS {
            return None;
        }
        targets.push(target);
        self.wake();
        Some(self.buffers.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(GATHERED_BYTES)))
    }

    fn wake(&self) {
        if !self.is_due.replace(true)
            && let Some(flusher) = &*self.flusher.borrow()
        {
            flusher.wake_by_ref();
        }
    }

    /// Waits until the turn is over in which the flusher was woken.
    pub async fn turn(&self) {
        poll_fn(|context| {
            if self.is_due.replace(false) {
                return Poll::Ready(());
            }
            let mut flusher = self.flusher.borrow_mut();
            if !flusher.as_ref().is_some_and(|flusher| flusher.will_wake(context.waker())) {
                *flusher = Some(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
        self.end_turn();
    }

    /// Learns from the turn that is over.
    fn end_turn(&self) {
        let is_full = self.batches.replace(0) >= FULL_TURN;
        self.calm.set(if is_full { 0 } else { self.calm.get() + 1 });
        self.is_on.set(is_full || (self.is_on.get() && self.calm.get() < CALM_TURNS));
    }

    /// Takes one of those for whom something is gathered.
    pub fn next(&self) -> Option<T> {
        self.targets.borrow_mut().pop()
    }

    /// Takes back a buffer that was written.
    pub fn give_buffer_back(&self, mut buffer: Vec<u8>) {
        let mut buffers = self.buffers.borrow_mut();
        if buffers.len() < KEPT_BUFFERS {
            buffer.clear();
            buffers.push(buffer);
        }
    }
}

/// A run of so many bytes is worth a write of its own, and no more than that is gathered for one node.
pub(super) const GATHERED_BYTES: usize = 16 * 1024;
/// From so many batches on a turn is full: with fewer there is little to bring together. A busy pair has two.
const FULL_TURN: u32 = 3;
/// So many turns in a row that are not full end the gathering.
const CALM_TURNS: u32 = 16;
/// While nothing is gathered, the flusher looks at a turn after so many batches.
const SAMPLE_EVERY: u32 = 16;
/// After so many batches what is gathered is written, however long the turn may go on.
const BATCHES_A_FLUSH: u32 = 64;
/// For so many nodes something is gathered at a time, 4 MiB; to more it is written at once.
const MAX_TARGETS: usize = 256;
/// Buffers kept: 1 MiB.
const KEPT_BUFFERS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::Context;

    /// A turn of so many batches; whether the flusher was woken in it.
    fn turn(gatherer: &Gatherer<u32>, batches: u32) -> bool {
        let mut flusher = pin!(gatherer.turn());
        let mut context = Context::from_waker(Waker::noop());
        assert!(flusher.as_mut().poll(&mut context).is_pending());
        (0..batches).for_each(|_| gatherer.count());
        flusher.as_mut().poll(&mut context).is_ready()
    }

    #[test]
    fn many_batches_a_turn_begin_the_gathering_and_few_for_a_while_end_it() {
        let gatherer = Gatherer::new();
        assert!(turn(&gatherer, 20));
        assert!(gatherer.is_on());
        for _ in 0..CALM_TURNS - 1 {
            assert!(turn(&gatherer, 1));
            assert!(gatherer.is_on());
        }
        assert!(turn(&gatherer, FULL_TURN));
        for _ in 0..CALM_TURNS {
            assert!(gatherer.is_on());
            turn(&gatherer, FULL_TURN - 1);
        }
        assert!(!gatherer.is_on());
    }

    #[test]
    fn a_busy_pair_never_gathers_and_seldom_wakes_the_flusher() {
        let gatherer = Gatherer::new();
        let woken = (0..1000).filter(|_| turn(&gatherer, 2)).count();
        assert!(!gatherer.is_on());
        assert_eq!(woken, 1000 * 2 / SAMPLE_EVERY as usize);
    }

    #[test]
    fn only_so_many_are_gathered_for_at_a_time() {
        let gatherer = Gatherer::new();
        for target in 0..MAX_TARGETS as u32 {
            let buffer = gatherer.begin(target).unwrap();
            assert_eq!((buffer.len(), buffer.capacity()), (0, GATHERED_BYTES));
            gatherer.give_buffer_back(buffer);
        }
        assert!(gatherer.begin(0).is_none());
        let mut targets: Vec<u32> = std::iter::from_fn(|| gatherer.next()).collect();
        targets.sort_unstable();
        assert_eq!(targets, (0..MAX_TARGETS as u32).collect::<Vec<_>>());
        assert!(gatherer.begin(0).is_some());
    }

    #[test]
    fn a_long_turn_is_told_again_and_again() {
        let gatherer: Gatherer<u32> = Gatherer::new();
        turn(&gatherer, SAMPLE_EVERY + FULL_TURN);
        let long = (0..BATCHES_A_FLUSH * 3).filter(|_| {
            gatherer.count();
            gatherer.is_long()
        });
        assert_eq!(long.count(), 3);
    }
}
