//! How much one address may try. Pure: the time is an argument.

use std::net::IpAddr;
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::time::Instant;

/// What is known of the addresses that connect over TCP. A UNIX socket has none: its peers are one
/// user's, and the kernel tells so.
#[derive(Debug)]
pub struct Doorman {
    /// Most connections of one address off loopback.
    max_per_address: usize,
    visitors: FxHashMap<IpAddr, Visitor>,
}

#[derive(Debug)]
struct Visitor {
    connections: usize,
    /// Wrong proofs in the window.
    failures: u32,
    window: Instant,
}

impl Doorman {
    /// One that lets in `max_per_address` connections of each address off loopback.
    #[must_use]
    pub fn new(max_per_address: usize) -> Self {
        Self { max_per_address, visitors: FxHashMap::default() }
    }

    /// A connection has come. False when its address has as many as it may have; then it is not
    /// counted, and [`Doorman::leave`] is not called for it.
    pub fn enter(&mut self, address: IpAddr, now: Instant) -> bool {
        if self.visitors.len() >= MAX_VISITORS {
            self.forget_idle(now);
        }
        let visitor =
            self.visitors.entry(address).or_insert_with(|| Visitor { connections: 0, failures: 0, window: now });
        if visitor.connections >= self.max_per_address && !address.is_loopback() {
            return false;
        }
        visitor.connections += 1;
        true
    }

    /// A connection that entered is gone.
    pub fn leave(&mut self, address: IpAddr, now: Instant) {
        if let Some(visitor) = self.visitors.get_mut(&address) {
            visitor.connections = visitor.connections.saturating_sub(1);
            if visitor.connections == 0 && visitor.is_forgiven(now) {
                self.visitors.remove(&address);
            }
        }
    }

    /// The proof of a connection did not hold.
    pub fn failed(&mut self, address: IpAddr, now: Instant) {
        if let Some(visitor) = self.visitors.get_mut(&address) {
            if visitor.is_forgiven(now) {
                visitor.window = now;
                visitor.failures = 0;
            }
            visitor.failures += 1;
        }
    }

    /// How long the next handshake of this address has to wait: to the end of the window, once it
    /// has failed as often as it may. Whoever shares the address waits as well, and no longer.
    #[must_use]
    pub fn hold(&self, address: IpAddr, now: Instant) -> Duration {
        self.visitors
            .get(&address)
            .filter(|visitor| visitor.failures >= FAILURES_A_WINDOW)
            .map_or(Duration::ZERO, |visitor| WINDOW.saturating_sub(now.saturating_duration_since(visitor.window)))
    }

    fn forget_idle(&mut self, now: Instant) {
        self.visitors.retain(|_, visitor| visitor.connections > 0 || !visitor.is_forgiven(now));
    }
}

impl Visitor {
    fn is_forgiven(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.window) >= WINDOW
    }
}

/// Wrong proofs of one address that are looked at within [`WINDOW`] (RELIABILITY S11).
const FAILURES_A_WINDOW: u32 = 10;
const WINDOW: Duration = Duration::from_secs(1);
/// Addresses that are remembered before idle ones are looked for. Those with connections are bounded
/// by the connections.
const MAX_VISITORS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    const FAR: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));
    const NEAR: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn an_address_off_loopback_has_a_bound_of_its_own_and_gets_room_again() {
        let (mut doorman, now) = (Doorman::new(2), Instant::now());
        assert!(doorman.enter(FAR, now) && doorman.enter(FAR, now));
        assert!(!doorman.enter(FAR, now));
        doorman.leave(FAR, now);
        assert!(doorman.enter(FAR, now));
        for _ in 0..100 {
            assert!(doorman.enter(NEAR, now), "loopback is bounded by the connections of all");
        }
    }

    #[test]
    fn wrong_proofs_hold_up_the_next_handshake_to_the_end_of_the_second() {
        let (mut doorman, begin) = (Doorman::new(1000), Instant::now());
        let at = |ms| begin + Duration::from_millis(ms);
        assert!(doorman.enter(NEAR, begin));
        for failure in 0..10 {
            assert_eq!(doorman.hold(NEAR, at(failure)), Duration::ZERO, "{failure}");
            doorman.failed(NEAR, at(failure));
        }
        assert_eq!(doorman.hold(NEAR, at(400)), Duration::from_millis(600));
        assert_eq!(doorman.hold(FAR, at(400)), Duration::ZERO);
        assert_eq!(doorman.hold(NEAR, at(1000)), Duration::ZERO);
        doorman.failed(NEAR, at(1000));
        assert_eq!(doorman.hold(NEAR, at(1001)), Duration::ZERO, "a new second, a new count");
    }

    #[test]
    fn addresses_that_are_gone_are_forgotten() {
        let (mut doorman, now) = (Doorman::new(1), Instant::now());
        let later = now + WINDOW;
        for n in 0..10_000_u32 {
            let address = IpAddr::V4(n.into());
            assert!(doorman.enter(address, now));
            doorman.failed(address, now);
            doorman.leave(address, now);
        }
        assert!(doorman.enter(FAR, later));
        assert!(doorman.visitors.len() < MAX_VISITORS);
    }
}
