//! What a socket did not take yet.

use crate::transport::Stream;
use bytes::Bytes;
use std::collections::VecDeque;
use std::io::{self, IoSlice};

/// Bytes that wait for room in one socket, in order.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    chunks: VecDeque<Chunk>,
    queued: usize,
}

#[derive(Debug)]
struct Chunk {
    bytes: Source,
    /// How many of them are gone already.
    gone: usize,
}

#[derive(Debug)]
enum Source {
    Owned(Vec<u8>),
    Shared(Bytes),
}

impl Chunk {
    fn rest(&self) -> &[u8] {
        let bytes: &[u8] = match &self.bytes {
            Source::Owned(bytes) => bytes,
            Source::Shared(bytes) => bytes,
        };
        bytes.get(self.gone..).unwrap_or_default()
    }
}

impl Outbox {
    pub const fn queued(&self) -> usize {
        self.queued
    }

    /// Keeps a copy: for what stands in a buffer that is needed again.
    pub fn push_copy(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.queued += bytes.len();
        if let Some(Chunk { bytes: Source::Owned(last), .. }) = self.chunks.back_mut()
            && last.len() + bytes.len() <= MERGED_BYTES
        {
            last.extend_from_slice(bytes);
            return;
        }
        self.push(Source::Owned(bytes.to_vec()), 0);
    }

    /// Keeps the rest of a buffer of its own, without a copy.
    pub fn push_owned(&mut self, bytes: Vec<u8>, gone: usize) {
        self.queued += bytes.len().saturating_sub(gone);
        self.push(Source::Owned(bytes), gone);
    }

    /// Keeps the rest of a buffer that other outboxes may keep too.
    pub fn push_shared(&mut self, bytes: Bytes, gone: usize) {
        self.queued += bytes.len().saturating_sub(gone);
        self.push(Source::Shared(bytes), gone);
    }

    fn push(&mut self, bytes: Source, gone: usize) {
        let chunk = Chunk { bytes, gone };
        if !chunk.rest().is_empty() {
            self.chunks.push_back(chunk);
        }
    }

    /// Writes until nothing is left or nothing fits; gives the bytes that went.
    pub fn flush(&mut self, stream: &Stream) -> io::Result<usize> {
        let mut total = stream.try_flush()?;
        while !self.chunks.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_A_WRITE];
            let mut used = 0;
            for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
                *slice = IoSlice::new(chunk.rest());
                used += 1;
            }
            match stream.try_write_vectored(slices.get(..used).unwrap_or_default()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    total += written;
                    self.advance(written);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(total)
    }

    fn advance(&mut self, mut written: usize) {
        self.queued = self.queued.saturating_sub(written);
        while let Some(chunk) = self.chunks.front_mut() {
            let rest = chunk.rest().len();
            if written < rest {
                chunk.gone += written;
                return;
            }
            written -= rest;
            self.chunks.pop_front();
        }
    }
}

/// Writes runs of `buffer` in as few system calls as fit; gives the bytes that went.
pub(super) fn write_runs(stream: &Stream, buffer: &[u8], runs: &[(usize, usize)]) -> io::Result<usize> {
    let mut total = 0;
    for group in runs.chunks(SLICES_A_WRITE) {
        let mut slices = [IoSlice::new(&[]); SLICES_A_WRITE];
        let mut bytes = 0;
        for (slice, &(start, end)) in slices.iter_mut().zip(group) {
            *slice = IoSlice::new(buffer.get(start..end).unwrap_or_default());
            bytes += end - start;
        }
        match stream.try_write_vectored(slices.get(..group.len()).unwrap_or_default()) {
            Ok(written) => {
                total += written;
                if written < bytes {
                    break;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}

/// Slices of one system call; on the stack.
const SLICES_A_WRITE: usize = 64;
/// Copies are gathered up to this size, so that a queue of small frames is few allocations.
const MERGED_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use socket2::SockRef;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn whatever_sizes_the_socket_takes_the_same_bytes_arrive(
            pieces in prop::collection::vec((0u8..3, 0usize..40_000, 0usize..200), 1..40),
            reads in prop::collection::vec(1usize..20_000, 1..20),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let _guard = runtime.enter();
            let (near, far) = Stream::pair().unwrap();
            SockRef::from(&near).set_send_buffer_size(1).unwrap();
            let (near, far) = (Stream::from_unix_fd(near).unwrap(), std::os::unix::net::UnixStream::from(far));
            let (mut outbox, mut sent, mut got) = (Outbox::default(), Vec::new(), Vec::new());
            let mut reads = reads.into_iter().cycle();
            let mut buffer = vec![0; 20_000];
            let mut exchange = |outbox: &mut Outbox, got: &mut Vec<u8>| {
                let _ = runtime.block_on(tokio::time::timeout(std::time::Duration::ZERO, near.writable()));
                outbox.flush(&near).unwrap();
                if let Ok(read) = std::io::Read::read(&mut &far, &mut buffer[..reads.next().unwrap()]) {
                    got.extend_from_slice(&buffer[..read]);
                }
            };
            for (number, (kind, length, gone)) in pieces.into_iter().enumerate() {
                let bytes: Vec<u8> = (0..length).map(|at| (at * 7 + number) as u8).collect();
                let gone = gone.min(length);
                sent.extend_from_slice(&bytes[if kind == 0 { 0 } else { gone }..]);
                match kind {
                    0 => outbox.push_copy(&bytes),
                    1 => outbox.push_owned(bytes, gone),
                    _ => outbox.push_shared(Bytes::from(bytes), gone),
                }
                exchange(&mut outbox, &mut got);
                prop_assert!(outbox.queued() + got.len() <= sent.len());
            }
            while got.len() < sent.len() {
                exchange(&mut outbox, &mut got);
            }
            prop_assert!(got == sent);
            prop_assert_eq!((outbox.queued(), outbox.chunks.len()), (0, 0));
        }
    }

    #[tokio::test]
    async fn all_that_is_kept_arrives_once_and_in_order_however_little_fits() {
        let (near, far) = Stream::pair().unwrap();
        let (near, far) = (Stream::from_unix_fd(near).unwrap(), Stream::from_unix_fd(far).unwrap());
        let bytes: Vec<u8> = (0..6_000_000u32).map(|n| (n % 251) as u8).collect();
        let (first, rest) = bytes.split_at(1_000_000);
        let mut outbox = Outbox::default();
        let sent = write_runs(&near, first, &[(0, 300_000), (300_000, first.len())]).unwrap();
        outbox.push_owned(first.to_vec(), sent);
        rest[..2_500_000].chunks(1_000).for_each(|chunk| outbox.push_copy(chunk));
        outbox.push_shared(Bytes::copy_from_slice(&rest[2_500_000..]), 0);
        assert_eq!(outbox.queued(), bytes.len() - sent);
        let mut got = Vec::new();
        let mut buffer = vec![0; 100_000];
        while got.len() < bytes.len() {
            tokio::select! {
                Ok(()) = near.writable(), if outbox.queued() > 0 => {
                    outbox.flush(&near).unwrap();
                }
                Ok(read) = far.read(&mut buffer) => got.extend_from_slice(&buffer[..read]),
            }
        }
        assert!(got == bytes);
        assert_eq!(outbox.queued(), 0);
    }
}
