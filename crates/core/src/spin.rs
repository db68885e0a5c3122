//! Waiting for the next message without going to sleep, where that pays.
//!
//! Being woken costs a thread some tens of microseconds, more than the rest of a call. So one whose messages follow each
//! other closely looks for the next one for a moment first, and gives its core away between two looks. It learns
//! whether that pays from how soon it was woken, and stops at the first look in vain: a thread that has nothing to do,
//! or whose calls come one by one, sleeps as ever.

use std::thread;
use std::time::{Duration, Instant};

/// How long to look for the next message.
pub const SPIN: Duration = Duration::from_micros(150);

/// Woken within this time, a look would have been shorter: being woken takes most of it.
const SOON: Duration = Duration::from_micros(300);

/// So many times in a row it must have been woken soon before looking is tried.
const STREAK: u32 = 16;

/// So many looks that found something make up for one in vain.
const PAID: u32 = 64;

/// The most that a streak must be, doubled with each look in vain that was not made up for.
const LONGEST_STREAK: u32 = 1024;

/// A core that is not given back within this time is needed by others.
const CONTENDED: Duration = Duration::from_millis(1);

/// First and longest pause after that, doubled each time.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// What one thread has learnt. It costs nothing while the thread sleeps.
#[derive(Debug)]
pub struct Spin {
    /// Times that it was woken soon, or found what it looked for, in a row.
    streak: u32,
    /// How many of these it takes.
    needed: u32,
    /// What it found since it last looked in vain.
    found: u32,
    slept_at: Option<Instant>,
    paused_until: Option<Instant>,
    pause: Duration,
}

/// What one look gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// It is there.
    Found,
    /// Not yet: look again.
    Again,
    /// Sleep.
    Sleep,
}

/// One spell of looking.
#[derive(Debug)]
pub struct Spell {
    begun: Instant,
    last: Instant,
}

impl Spin {
    /// Knows nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { streak: 0, needed: STREAK, found: 0, slept_at: None, paused_until: None, pause: PAUSES.0 }
    }

    /// The thread goes to sleep.
    pub const fn sleeps(&mut self, now: Instant) {
        self.slept_at = Some(now);
    }

    /// It was woken by a message.
    pub fn woken(&mut self, now: Instant) {
        let soon = self.slept_at.take().is_some_and(|slept_at| now.saturating_duration_since(slept_at) <= SOON);
        self.streak = if soon { self.streak.saturating_add(1) } else { 0 };
    }

    /// Begins to look, if that is likely to pay; `None` sends the thread to sleep.
    pub fn begin(&mut self, now: Instant) -> Option<Spell> {
        if self.streak < self.needed {
            return None;
        }
        if let Some(paused_until) = self.paused_until {
            if now < paused_until {
                return None;
            }
            self.paused_until = None;
        }
        Some(Spell { begun: now, last: now })
    }

    /// Takes in what a look gave, after the core was given away once.
    pub fn look(&mut self, spell: &mut Spell, now: Instant, found: bool) -> Look {
        let away = now.saturating_duration_since(spell.last);
        spell.last = now;
        if away >= CONTENDED {
            self.paused_until = Some(now + self.pause);
            self.pause = (self.pause * 2).min(PAUSES.1);
            return if found { Look::Found } else { Look::Sleep };
        }
        if found {
            self.found = self.found.saturating_add(1);
            // It has paid for so long that what it cost before is forgotten.
            if self.found >= PAID {
                self.needed = STREAK;
                self.pause = PAUSES.0;
            }
            return Look::Found;
        }
        if now.saturating_duration_since(spell.begun) < SPIN {
            return Look::Again;
        }
        if self.found < PAID {
            self.needed = (self.needed * 2).min(LONGEST_STREAK);
        }
        self.streak = 0;
        self.found = 0;
        Look::Sleep
    }

    /// Looks on this thread until `is_ready`; false when it is time to sleep.
    pub fn wait(&mut self, mut is_ready: impl FnMut() -> bool) -> bool {
        let Some(mut spell) = self.begin(Instant::now()) else { return false };
        loop {
            let found = is_ready();
            match self.look(&mut spell, Instant::now(), found) {
                Look::Found => return true,
                Look::Sleep => return false,
                Look::Again => thread::yield_now(),
            }
        }
    }
}

impl Default for Spin {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_micros(20);
    const PACED: Duration = Duration::from_millis(5);

    /// Is woken `times` times, each after `gap`.
    fn wake(spin: &mut Spin, now: &mut Instant, times: u32, gap: Duration) {
        for _ in 0..times {
            spin.sleeps(*now);
            *now += gap;
            spin.woken(*now);
        }
    }

    /// Looks until it finds something after `gap`, or sleeps.
    fn look_for(spin: &mut Spin, now: &mut Instant, gap: Duration) -> Look {
        let Some(mut spell) = spin.begin(*now) else { return Look::Sleep };
        let found_at = *now + gap;
        loop {
            *now += Duration::from_micros(1);
            match spin.look(&mut spell, *now, *now >= found_at) {
                Look::Again => {}
                look => return look,
            }
        }
    }

    #[test]
    fn it_looks_only_after_it_was_woken_soon_many_times_in_a_row() {
        let (mut spin, mut now) = (Spin::new(), Instant::now());
        wake(&mut spin, &mut now, STREAK - 1, SHORT);
        assert!(spin.begin(now).is_none());
        wake(&mut spin, &mut now, 1, SHORT);
        assert!(spin.begin(now).is_some());
        wake(&mut spin, &mut now, 1, PACED);
        assert!(spin.begin(now).is_none());
    }

    #[test]
    fn a_thread_whose_messages_come_one_by_one_never_looks() {
        let (mut spin, mut now) = (Spin::new(), Instant::now());
        for _ in 0..10_000 {
            wake(&mut spin, &mut now, 1, PACED);
            assert!(spin.begin(now).is_none());
        }
    }

    #[test]
    fn a_look_ends_in_time_and_what_is_found_keeps_it_looking() {
        let (mut spin, mut now) = (Spin::new(), Instant::now());
        wake(&mut spin, &mut now, STREAK, SHORT);
        for _ in 0..1000 {
            assert_eq!(look_for(&mut spin, &mut now, SHORT), Look::Found);
        }
        let begun = now;
        assert_eq!(look_for(&mut spin, &mut now, PACED), Look::Sleep);
        assert!(now - begun <= SPIN + SHORT, "looked for {:?}", now - begun);
        assert!(spin.begin(now).is_none());
        // What it had found before made up for that one.
        wake(&mut spin, &mut now, STREAK, SHORT);
        assert!(spin.begin(now).is_some());
    }

    #[test]
    fn looks_in_vain_become_rarer() {
        let (mut spin, mut now) = (Spin::new(), Instant::now());
        let mut vain = 0;
        for _ in 0..100_000 {
            wake(&mut spin, &mut now, 1, SHORT);
            if spin.begin(now).is_some() {
                assert_eq!(look_for(&mut spin, &mut now, PACED), Look::Sleep);
                vain += 1;
            }
        }
        assert!(vain <= 6 + 100_000 / LONGEST_STREAK + 1, "{vain} looks in vain");
    }

    #[test]
    fn a_core_that_others_need_is_left_to_them_for_longer_each_time() {
        let (mut spin, mut now) = (Spin::new(), Instant::now());
        wake(&mut spin, &mut now, STREAK, SHORT);
        for pause in [20, 40, 80, 160, 320, 640, 1000, 1000].map(Duration::from_millis) {
            let mut spell = spin.begin(now).unwrap();
            now += CONTENDED;
            assert_eq!(spin.look(&mut spell, now, false), Look::Sleep);
            wake(&mut spin, &mut now, 1, SHORT);
            assert!(spin.begin(now).is_none());
            assert!(spin.begin(now + pause - SHORT * 2).is_none(), "{pause:?}");
            now += pause;
        }
    }

    #[test]
    fn wait_gives_back_what_was_there_and_sleeps_on_what_never_comes() {
        let mut spin = Spin::new();
        assert!(!spin.wait(|| panic!("it has not learnt anything yet")));
        let mut now = Instant::now();
        wake(&mut spin, &mut now, STREAK, SHORT);
        let mut looks = 0;
        assert!(
            spin.wait(|| {
                looks += 1;
                looks == 2
            }) || looks == 1
        );
        wake(&mut spin, &mut now, STREAK, SHORT);
        spin.paused_until = None;
        assert!(!spin.wait(|| false));
    }
}
