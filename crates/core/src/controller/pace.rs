//! When everybody is told of changes next. Pure: time is an argument.

use std::time::Duration;
use tokio::time::Instant;

/// Keeps telling from taking more than a tenth of the time: with thousands of nodes each telling writes to all of them,
/// and while they come up there is always something to tell.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Not before; `None` before the first.
    rests_until: Option<Instant>,
}

impl Pace {
    /// Whether all may be told at once, of a node that has begun to call.
    pub fn allows(&self, now: Instant) -> bool {
        self.rests_until.is_none_or(|until| until <= now)
    }

    /// How long after a change at `now` it is told.
    pub fn delay(&self, now: Instant) -> Duration {
        let rest = self.rests_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        rest.max(COALESCE)
    }

    /// All have been told, which took from `begun` to `ended`.
    pub fn told(&mut self, begun: Instant, ended: Instant) {
        let rest = ended.saturating_duration_since(begun).saturating_mul(REST).min(LONGEST_REST);
        self.rests_until = Some(ended + rest);
    }
}

/// Changes within this time are told as one (RELIABILITY L2).
const COALESCE: Duration = Duration::from_millis(10);
/// So many times as long as it took nobody is told again.
const REST: u32 = 10;
/// But no longer than this.
const LONGEST_REST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_first_change_after_quiet_is_told_within_ten_milliseconds() {
        let mut pace = Pace::default();
        let start = Instant::now();
        assert_eq!(pace.delay(start), ms(10));
        assert!(pace.allows(start));
        pace.told(start, start + ms(50));
        assert_eq!(pace.delay(start + ms(550)), ms(10));
        assert_eq!(pace.delay(start + ms(5000)), ms(10));
        assert!(!pace.allows(start + ms(549)));
        assert!(pace.allows(start + ms(550)));
    }

    #[test]
    fn in_a_storm_telling_takes_a_tenth_of_the_time() {
        let mut pace = Pace::default();
        let start = Instant::now();
        let mut now = start;
        for took in [1, 20, 50, 3, 80].map(ms) {
            pace.told(now, now + took);
            now += took;
            assert_eq!(pace.delay(now), took * 10);
            now += pace.delay(now);
        }
        assert_eq!(now, start + ms(154 * 11));
    }

    #[test]
    fn nobody_waits_longer_than_a_second_however_long_telling_took() {
        let mut pace = Pace::default();
        let start = Instant::now();
        pace.told(start, start + ms(4000));
        assert_eq!(pace.delay(start + ms(4000)), ms(1000));
    }
}
