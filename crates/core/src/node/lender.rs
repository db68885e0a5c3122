//! Memory that a node lends: each piece holds one payload until it comes back, and then the next one.

use crate::memory::Memory;
use daffi_protocol::limits::{MAX_LOANS, MEMORY_BYTES};
use rustc_hash::FxHashMap;

/// What one connection has of it.
#[derive(Debug, Default)]
pub(super) struct Lender {
    /// What came back last is the last.
    free: Vec<Loan>,
    /// By number.
    lent: FxHashMap<u32, Loan>,
    /// Bytes of all.
    bytes: u64,
    last_number: u32,
    /// So many bytes of the free ones nobody has needed since [`Lender::let_go`].
    unused: u64,
}

/// Memory that holds a payload.
#[derive(Debug)]
pub(super) struct Loan {
    /// Never 0, and not that of another loan.
    pub number: u32,
    pub memory: Memory,
    bytes: u64,
}

impl Lender {
    /// A loan of `pieces`, of `bytes` in all; `None` when so much is lent already, or there is no memory.
    pub fn lend(&mut self, pieces: &[&[u8]], bytes: u64) -> Option<Loan> {
        // As the spares of what arrives: what is far too large would be kept by small ones.
        let fitting = bytes..=bytes.saturating_add(bytes / 4);
        let found = self.free.iter().rposition(|loan| fitting.contains(&loan.bytes));
        let mut loan = match found {
            Some(index) => self.free.remove(index),
            None => self.create(bytes)?,
        };
        self.unused = self.unused.min(self.free_bytes());
        if loan.memory.fill(pieces).is_err() {
            self.bytes -= loan.bytes;
            return None;
        }
        self.last_number = self.last_number.checked_add(1).unwrap_or(1);
        loan.number = self.last_number;
        Some(loan)
    }

    fn create(&mut self, bytes: u64) -> Option<Loan> {
        while self.bytes + bytes > MEMORY_BYTES || self.free.len() + self.lent.len() >= MAX_LOANS {
            if self.free.is_empty() {
                return None;
            }
            self.bytes -= self.free.remove(0).bytes;
        }
        let memory = Memory::create().ok()?;
        self.bytes += bytes;
        Some(Loan { number: 0, memory, bytes })
    }

    /// It is on its way.
    pub fn sent(&mut self, loan: Loan) {
        self.lent.insert(loan.number, loan);
    }

    /// It was not sent.
    pub fn keep(&mut self, loan: Loan) {
        self.free.push(loan);
    }

    /// The loan of this number is over.
    pub fn take_back(&mut self, number: u32) {
        self.free.extend(self.lent.remove(&number));
    }

    /// Lets go of what nobody has needed since the last time, the oldest first.
    pub fn let_go(&mut self) {
        let mut unused = self.unused;
        while let Some(bytes) = self.free.first().map(|loan| loan.bytes).filter(|bytes| *bytes <= unused) {
            self.free.remove(0);
            self.bytes -= bytes;
            unused -= bytes;
        }
        self.unused = self.free_bytes();
    }

    /// Loans, and pieces of memory in all.
    #[cfg(test)]
    pub fn counts(&self) -> (usize, usize) {
        (self.lent.len(), self.lent.len() + self.free.len())
    }

    fn free_bytes(&self) -> u64 {
        self.free.iter().map(|loan| loan.bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn lend(lender: &mut Lender, bytes: u64) -> Option<u32> {
        let payload = vec![7; usize::try_from(bytes).unwrap()];
        let loan = lender.lend(&[&payload], bytes)?;
        let number = loan.number;
        lender.sent(loan);
        Some(number)
    }

    #[test]
    fn memory_serves_again_when_it_is_back_and_not_before() {
        let mut lender = Lender::default();
        let first = lend(&mut lender, MIB).unwrap();
        assert_ne!(lend(&mut lender, MIB).unwrap(), first);
        assert_eq!(lender.bytes, 2 * MIB);
        lender.take_back(first);
        let third = lender.lend(&[&[1; 1000], &[2; 1000]], MIB - 5).unwrap();
        assert_eq!(lender.bytes, 2 * MIB);
        let mut read = [0; 2000];
        third.memory.read(&mut read, 0).unwrap();
        assert_eq!((read[999], read[1000]), (1, 2));
        lender.take_back(77);
        assert_eq!(lender.free.len(), 0);
    }

    #[test]
    fn no_more_is_lent_than_its_bounds_allow_and_free_memory_makes_way() {
        let mut lender = Lender::default();
        let numbers: Vec<u32> = (0..5).map(|_| lend(&mut lender, MEMORY_BYTES / 5).unwrap()).collect();
        assert!(lend(&mut lender, MIB).is_none());
        lender.take_back(numbers[2]);
        assert!(lend(&mut lender, MIB).is_some());
        assert_eq!(lender.bytes, MEMORY_BYTES / 5 * 4 + MIB);
        let mut lender = Lender::default();
        assert_eq!((0..1000).filter_map(|_| lend(&mut lender, 1000)).count(), MAX_LOANS);
        assert!(Lender::default().lend(&[], MEMORY_BYTES + 1).is_none());
    }

    #[test]
    fn what_nobody_needed_for_a_while_goes() {
        let mut lender = Lender::default();
        let numbers: Vec<u32> = (0..3).map(|_| lend(&mut lender, MIB).unwrap()).collect();
        numbers.into_iter().for_each(|number| lender.take_back(number));
        lender.let_go();
        assert_eq!(lender.free.len(), 3, "came back only now");
        let number = lend(&mut lender, MIB).unwrap();
        lender.take_back(number);
        lender.let_go();
        assert_eq!((lender.free.len(), lender.bytes), (1, MIB));
        lender.let_go();
        assert_eq!((lender.free.len(), lender.bytes), (0, 0));
    }
}
