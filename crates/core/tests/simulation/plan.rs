//! Which faults happen when: all of it drawn from the seed before the simulation begins.

use super::network::CONTROLLER;
use super::random::Random;
use std::time::Duration;
use turmoil::Sim;

/// Hosts with a node, besides that of the controller.
pub const NODES: usize = 5;

pub fn name(node: u8) -> String {
    format!("node-{node}")
}

#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// Nothing passes between a node and the controller; what was under way is lost.
    Partition(u8),
    /// Nothing passes from the node.
    Mute(u8),
    /// Nothing passes to the node.
    Deafen(u8),
    /// Everything waits and comes at once in the end, as from a process that was stopped and goes on.
    Hold(u8),
    /// The software of a node is gone; the other end hears of it, unless the network is down.
    Crash(u8),
    /// The machine is gone: nobody hears anything.
    PowerLoss(u8),
    /// Gone and there again at once.
    Bounce(u8),
    CrashController,
    PowerLossController,
    BounceController,
    /// The controller says goodbye and drains, and another one starts.
    StopController,
    /// The node says goodbye; another one of its name starts.
    Leave(u8),
    /// The way to the controller takes so many milliseconds.
    Latency(u8, u64),
}

/// A fault, from when and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub at: Duration,
    pub until: Duration,
    pub fault: Fault,
}

pub fn draw(seed: u64, end: Duration) -> Vec<Entry> {
    let mut random = Random::new(seed, 1);
    let count = 2 + random.below(5);
    let mut plan: Vec<Entry> = (0..count)
        .map(|_| {
            let node = random.below(NODES as u64) as u8;
            let fault = match random.below(16) {
                0 | 1 => Fault::Partition(node),
                2 => Fault::Mute(node),
                3 => Fault::Deafen(node),
                4 | 5 => Fault::Hold(node),
                6 | 7 => Fault::Crash(node),
                8 => Fault::PowerLoss(node),
                9 => Fault::Bounce(node),
                10 => Fault::CrashController,
                11 => Fault::PowerLossController,
                12 => Fault::BounceController,
                13 => Fault::StopController,
                14 => Fault::Leave(node),
                _ => Fault::Latency(node, 5 + random.below(60)),
            };
            let at = random.millis(150, end.as_millis() as u64 - 200);
            // Around the dead interval: some are noticed, some are over before.
            let until = (at + random.millis(5, 900)).min(end);
            Entry { at, until, fault }
        })
        .collect();
    plan.sort_by_key(|entry| entry.at);
    plan
}

impl Fault {
    pub fn begin(self, sim: &mut Sim<'_>, away: Duration) -> Option<Ask> {
        match self {
            Self::Partition(node) => sim.partition(name(node), CONTROLLER),
            Self::Mute(node) => sim.partition_oneway(name(node), CONTROLLER),
            Self::Deafen(node) => sim.partition_oneway(CONTROLLER, name(node)),
            Self::Hold(node) => sim.hold(name(node), CONTROLLER),
            Self::Crash(node) => sim.crash(name(node)),
            Self::PowerLoss(node) => {
                sim.partition(name(node), CONTROLLER);
                sim.crash(name(node));
            }
            Self::Bounce(node) => sim.bounce(name(node)),
            Self::CrashController => sim.crash(CONTROLLER),
            Self::PowerLossController => {
                for node in 0..NODES as u8 {
                    sim.partition(name(node), CONTROLLER);
                }
                sim.crash(CONTROLLER);
            }
            Self::BounceController => sim.bounce(CONTROLLER),
            Self::Latency(node, millis) => {
                sim.set_link_latency(name(node), CONTROLLER, Duration::from_millis(millis));
            }
            Self::StopController => return Some(Ask::StopController(away)),
            Self::Leave(node) => return Some(Ask::Leave(node, away)),
        }
        None
    }

    pub fn end(self, sim: &mut Sim<'_>) {
        match self {
            Self::Partition(node) => sim.repair(name(node), CONTROLLER),
            Self::Mute(node) => sim.repair_oneway(name(node), CONTROLLER),
            Self::Deafen(node) => sim.repair_oneway(CONTROLLER, name(node)),
            Self::Hold(node) => sim.release(name(node), CONTROLLER),
            Self::Crash(node) => start(sim, &name(node)),
            Self::PowerLoss(node) => {
                sim.repair(name(node), CONTROLLER);
                start(sim, &name(node));
            }
            Self::CrashController => start(sim, CONTROLLER),
            Self::PowerLossController => {
                for node in 0..NODES as u8 {
                    sim.repair(name(node), CONTROLLER);
                }
                start(sim, CONTROLLER);
            }
            Self::Latency(node, _) => sim.set_link_latency(name(node), CONTROLLER, Duration::from_millis(1)),
            Self::Bounce(_) | Self::BounceController | Self::StopController | Self::Leave(_) => {}
        }
    }
}

/// What a host has to do itself.
#[derive(Clone, Copy, Debug)]
pub enum Ask {
    StopController(Duration),
    Leave(u8, Duration),
}

/// Puts everything right, whatever overlapped.
pub fn heal(sim: &mut Sim<'_>) {
    for node in 0..NODES as u8 {
        sim.release(name(node), CONTROLLER);
        sim.set_link_latency(name(node), CONTROLLER, Duration::from_millis(1));
        start(sim, &name(node));
    }
    start(sim, CONTROLLER);
}

fn start(sim: &mut Sim<'_>, host: &str) {
    if !sim.is_host_running(host) {
        sim.bounce(host);
    }
}
