//! Memory of big payloads that are over, for the next ones of the same connection.
//!
//! Fresh memory costs a page fault each 4 KiB, which is a good part of receiving a payload. What JavaScript's collector
//! gives back, many payloads at a time, serves those that come until it runs again.

use parking_lot::Mutex;
use std::collections::TryReserveError;
use std::ops::Deref;
use std::sync::Arc;

/// What one connection keeps.
#[derive(Debug, Default)]
pub struct Spares {
    shelf: Mutex<Shelf>,
}

#[derive(Debug, Default)]
struct Shelf {
    /// Oldest first, each empty.
    buffers: Vec<Vec<u8>>,
    /// Bytes of all.
    bytes: usize,
    /// So many of these nobody has needed since [`Spares::let_go`].
    unused: usize,
    /// The connection is over: nothing is kept.
    is_closed: bool,
}

impl Spares {
    /// An empty buffer with room for `bytes` bytes: a spare one, or a fresh one.
    ///
    /// # Errors
    ///
    /// There is no memory for it.
    pub fn take(&self, bytes: usize) -> Result<Vec<u8>, TryReserveError> {
        let spare = if bytes < LEAST_BYTES { None } else { self.shelf.lock().take(bytes) };
        let mut buffer = spare.unwrap_or_default();
        if buffer.capacity() < bytes {
            buffer.try_reserve_exact(bytes)?;
        }
        Ok(buffer)
    }

    /// Takes back a buffer that nobody uses any more.
    pub fn give_back(&self, mut buffer: Vec<u8>) {
        let bytes = buffer.capacity();
        let mut shelf = self.shelf.lock();
        if bytes >= LEAST_BYTES
            && !shelf.is_closed
            && shelf.bytes + bytes <= MOST_BYTES
            && shelf.buffers.len() < MOST_BUFFERS
        {
            buffer.clear();
            shelf.bytes += bytes;
            shelf.buffers.push(buffer);
        } else {
            drop(shelf);
            drop(buffer);
        }
    }

    /// Lets go of what nobody has needed since the last time, the oldest first.
    pub fn let_go(&self) {
        let mut shelf = self.shelf.lock();
        let (mut unused, mut gone) = (shelf.unused, 0);
        while let Some(bytes) = shelf.buffers.get(gone).map(Vec::capacity).filter(|bytes| *bytes <= unused) {
            unused -= bytes;
            gone += 1;
        }
        let unneeded: Vec<_> = shelf.buffers.drain(..gone).collect();
        shelf.bytes -= unneeded.iter().map(Vec::capacity).sum::<usize>();
        shelf.unused = shelf.bytes;
        drop(shelf);
        drop(unneeded);
    }

    /// Keeps nothing from now on.
    pub fn close(&self) {
        let shelf = std::mem::replace(&mut *self.shelf.lock(), Shelf { is_closed: true, ..Shelf::default() });
        drop(shelf);
    }

    /// Bytes that are kept.
    #[cfg(test)]
    pub fn kept_bytes(&self) -> usize {
        self.shelf.lock().bytes
    }
}

impl Shelf {
    /// The last one given back that fits: its memory is the warmest.
    fn take(&mut self, bytes: usize) -> Option<Vec<u8>> {
        // One that is far too large would be kept by small payloads for as long as they live.
        let fitting = bytes..=bytes.saturating_add(bytes / 4);
        let index = self.buffers.iter().rposition(|buffer| fitting.contains(&buffer.capacity()))?;
        let buffer = self.buffers.remove(index);
        self.bytes -= buffer.capacity();
        self.unused = self.unused.min(self.bytes);
        Some(buffer)
    }
}

/// A payload that has arrived. Its memory goes back to its connection when it is dropped.
#[derive(Debug)]
pub struct Payload {
    bytes: Vec<u8>,
    home: Arc<Spares>,
}

impl Payload {
    pub(super) const fn new(bytes: Vec<u8>, home: Arc<Spares>) -> Self {
        Self { bytes, home }
    }

    /// Where its bytes are, for whoever hands them to JavaScript: they stay there as long as it lives.
    pub const fn as_mut_ptr(&mut self) -> *mut u8 {
        self.bytes.as_mut_ptr()
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        self.home.give_back(std::mem::take(&mut self.bytes));
    }
}

/// Smaller ones the allocator has at hand by itself.
const LEAST_BYTES: usize = 64 * 1024;
/// Kept at most, for a few seconds: four of the largest payloads, which is what V8 has not collected of them when it begins to.
const MOST_BYTES: usize = 272 * 1024 * 1024;
/// Kept at most, whatever their size: all are looked at to find one.
const MOST_BUFFERS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1024;
    const MIB: usize = 1024 * KIB;

    fn filled(spares: &Spares, bytes: usize) -> Vec<u8> {
        let mut buffer = spares.take(bytes).unwrap();
        buffer.resize(bytes, 7);
        buffer
    }

    #[test]
    fn the_memory_of_a_payload_that_is_dropped_serves_the_next_of_its_size() {
        let spares = Arc::new(Spares::default());
        let payload = Payload::new(filled(&spares, MIB), Arc::clone(&spares));
        let at = payload.as_ptr();
        assert_eq!((payload.len(), spares.kept_bytes()), (MIB, 0));
        drop(payload);
        assert_eq!(spares.kept_bytes(), MIB);
        let next = spares.take(MIB - 100).unwrap();
        assert_eq!((next.as_ptr(), next.len(), spares.kept_bytes()), (at, 0, 0));
    }

    #[test]
    fn one_that_is_far_too_large_or_too_small_is_left() {
        let spares = Spares::default();
        spares.give_back(Vec::with_capacity(MIB));
        assert_eq!(spares.take(700 * KIB).unwrap().capacity(), 700 * KIB);
        assert_eq!(spares.take(MIB + 1).unwrap().capacity(), MIB + 1);
        assert_eq!(spares.take(900 * KIB).unwrap().capacity(), MIB);
    }

    #[test]
    fn no_more_is_kept_than_its_bounds_allow() {
        let spares = Spares::default();
        (0..200).for_each(|_| spares.give_back(Vec::with_capacity(2 * MIB)));
        assert_eq!(spares.kept_bytes(), MOST_BYTES);
        let spares = Spares::default();
        (0..1000).for_each(|_| spares.give_back(Vec::with_capacity(LEAST_BYTES)));
        assert_eq!(spares.kept_bytes(), MOST_BUFFERS * LEAST_BYTES);
        let spares = Spares::default();
        spares.give_back(Vec::with_capacity(LEAST_BYTES - 1));
        assert_eq!(spares.kept_bytes(), 0);
    }

    #[test]
    fn what_nobody_needed_for_a_while_goes_and_what_was_needed_stays() {
        let spares = Spares::default();
        let many: Vec<_> = (0..8).map(|_| filled(&spares, MIB)).collect();
        many.into_iter().for_each(|buffer| spares.give_back(buffer));
        spares.let_go();
        assert_eq!(spares.kept_bytes(), 8 * MIB, "given back only now");
        let used: Vec<_> = (0..3).map(|_| filled(&spares, MIB)).collect();
        used.into_iter().for_each(|buffer| spares.give_back(buffer));
        spares.let_go();
        assert_eq!(spares.kept_bytes(), 3 * MIB);
        spares.let_go();
        assert_eq!(spares.kept_bytes(), 0);
    }

    #[test]
    fn a_connection_that_is_over_keeps_nothing() {
        let spares = Spares::default();
        spares.give_back(Vec::with_capacity(MIB));
        spares.close();
        assert_eq!(spares.kept_bytes(), 0);
        spares.give_back(Vec::with_capacity(MIB));
        assert_eq!(spares.kept_bytes(), 0);
    }
}
