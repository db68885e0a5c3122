//! What happened in one simulation, as somebody who sees all hosts at once knows it, and what of it must not have.

use super::plan::NODES;
use daffi_core::controller::Controller;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::time::Duration;

pub type Shared = Rc<RefCell<Ledger>>;

/// Names a call for the whole simulation: who made it, in which of its lives, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId {
    pub caller: u8,
    pub life: u32,
    pub number: u32,
}

/// How a call ended for whoever made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// With a value, from this host.
    Answered(u8),
    /// With this code.
    Failed(u32),
    /// By its own timeout; the answer may still come, and is dropped.
    TimedOut,
    /// With the connection it went out on.
    Lost,
    /// Its node was closed.
    Stopped,
}

#[derive(Debug, Default)]
struct Fate {
    /// The only host that may run it, if the caller said so.
    asked: Option<u8>,
    runs: u32,
    end: Option<End>,
    is_silent: bool,
}

/// What the scripts of the nodes do now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Calls of all kinds.
    #[default]
    Traffic,
    /// Each node calls each other one until that has answered; calls that would go on for ever are cancelled.
    Recovery,
    /// One call to each other node, and every one must be answered.
    Proof,
}

/// One life of a host's software.
#[derive(Clone, Debug, Default)]
pub struct Host {
    pub life: u32,
    pub is_connected: bool,
    /// Nodes that have answered it since the faults ended.
    pub reached: usize,
    /// Calls without an end, those that only keep their slot included.
    pub pending: usize,
    /// Bytes that its socket has not taken.
    pub queued: u64,
    /// Calls of others that it works on.
    pub running: Vec<CallId>,
    /// Its script is to close the node and open it again after this time.
    pub leave: Option<Duration>,
    /// Proofs that were answered.
    pub proved: usize,
}

#[derive(Debug, Default)]
pub struct Ledger {
    pub phase: Phase,
    pub hosts: [Host; NODES],
    pub controller: Option<Controller>,
    pub stop_controller: Option<Duration>,
    pub counts: Counts,
    pub violations: Vec<String>,
    calls: BTreeMap<CallId, Fate>,
    recent: VecDeque<String>,
    now: Duration,
    history: DefaultHasher,
}

/// What a simulation did, for the figures and to see that it did something at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub calls: u64,
    pub answered: u64,
    pub failed: u64,
    pub timed_out: u64,
    pub lost: u64,
    pub late: u64,
    pub items: u64,
    pub connections: u64,
}

impl Ledger {
    /// Something to read when the simulation fails.
    pub fn note(ledger: &Shared, what: impl Into<String>) {
        ledger.borrow_mut().record(what.into());
    }

    pub fn record(&mut self, what: String) {
        what.hash(&mut self.history);
        self.now.hash(&mut self.history);
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(format!("{:>6} ms  {what}", self.now.as_millis()));
    }

    pub fn violated(&mut self, what: String) {
        self.record(format!("VIOLATION {what}"));
        self.violations.push(what);
    }

    pub fn set_now(&mut self, now: Duration) {
        self.now = now;
    }

    /// The same for two runs in which the same happened at the same times.
    pub fn history(&self) -> u64 {
        self.history.finish()
    }

    pub fn story(&self) -> String {
        self.recent.iter().map(|line| format!("{line}\n")).collect()
    }

    /// A new life of a host begins; what its last one waited for has died with it.
    pub fn born(&mut self, host: u8) -> u32 {
        let state = &mut self.hosts[usize::from(host)];
        let life = state.life + 1;
        *state = Host { life, ..Host::default() };
        self.record(format!("node {host} begins life {life}"));
        life
    }

    pub fn made(&mut self, id: CallId, asked: Option<u8>, is_silent: bool) {
        self.counts.calls += 1;
        self.record(format!("{id:?} is made, for {asked:?}"));
        self.calls.insert(id, Fate { asked, is_silent, ..Fate::default() });
    }

    pub fn ran(&mut self, id: CallId, host: u8) {
        self.record(format!("{id:?} runs at {host}"));
        let Some(fate) = self.calls.get_mut(&id) else { return self.violated(format!("{id:?} was never made")) };
        fate.runs += 1;
        let (runs, asked) = (fate.runs, fate.asked);
        if runs > 1 {
            self.violated(format!("{id:?} ran {runs} times"));
        }
        if asked.is_some_and(|asked| asked != host) {
            self.violated(format!("{id:?} was for {asked:?} and ran at {host}"));
        }
    }

    pub fn settled(&mut self, id: CallId, end: End) {
        self.record(format!("{id:?} ends: {end:?}"));
        match end {
            End::Answered(_) => self.counts.answered += 1,
            End::Failed(_) => self.counts.failed += 1,
            End::TimedOut => self.counts.timed_out += 1,
            End::Lost | End::Stopped => self.counts.lost += 1,
        }
        let Some(fate) = self.calls.get_mut(&id) else { return self.violated(format!("{id:?} was never made")) };
        let (before, asked, runs) = (fate.end.replace(end), fate.asked, fate.runs);
        if let Some(before) = before {
            self.violated(format!("{id:?} ended twice: {before:?}, then {end:?}"));
        }
        if let End::Answered(host) = end {
            if asked.is_some_and(|asked| asked != host) {
                self.violated(format!("{id:?} was for {asked:?} and {host} answered"));
            }
            if runs != 1 {
                self.violated(format!("{id:?} was answered and ran {runs} times"));
            }
        }
    }

    /// Calls of lives that are not over have an end each.
    pub fn check_ends(&mut self) {
        let lives = self.hosts.clone().map(|host| host.life);
        let open: Vec<CallId> = self
            .calls
            .iter()
            .filter(|(id, fate)| fate.end.is_none() && !fate.is_silent && lives[usize::from(id.caller)] == id.life)
            .map(|(id, _)| *id)
            .collect();
        for id in open {
            self.violated(format!("{id:?} never ended"));
        }
    }
}

/// Lines of the story that are kept.
const RECENT: usize = 4000;
