//! What JavaScript does in one process: calls, answers, is busy, and keeps its slots as `src-ts/native` does.

use super::ledger::{CallId, End, Ledger, Phase, Shared};
use super::network::{self, HANDSHAKE};
use super::plan::{NODES, name};
use super::random::Random;
use daffi_core::node::{Credentials, Node, NodeOptions, PUMP_BYTES, Target};
use daffi_protocol::control::{self, Register, RegistryChange, Welcome};
use daffi_protocol::limits::HEADER_BYTES;
use daffi_protocol::{ErrorCode, Header, Kind, flags};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// What the callee does with a call; travels in the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Wish {
    Answer,
    AnswerLater,
    /// Once more a while later, which no caller may see.
    AnswerTwice,
    AnswerBig,
    Fail,
    /// Only a cancel or the end of the connection ends it.
    Never,
    Items,
}

const WISHES: [Wish; 7] =
    [Wish::Answer, Wish::AnswerLater, Wish::AnswerTwice, Wish::AnswerBig, Wish::Fail, Wish::Never, Wish::Items];

/// What a call is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Traffic,
    /// To know that this node is there again.
    Reach(u8),
    /// It must be answered.
    Prove,
}

/// A call of this node, in its slot.
struct Pending {
    generation: u32,
    id: CallId,
    /// The caller has given up on it; the slot waits for the answer.
    is_given_up: bool,
    is_endless: bool,
    deadline: Option<Instant>,
    /// Items of the callee that came.
    items: u32,
    purpose: Purpose,
}

/// A call of another node.
struct Running {
    slot: u32,
    generation: u32,
    id: CallId,
    wish: Wish,
    /// When to answer, or to send the next item.
    due: Option<Instant>,
    items_left: u32,
    items_sent: u32,
    /// Items of the caller that came.
    items_seen: u32,
}

struct Script {
    me: u8,
    life: u32,
    node: Node,
    ledger: Shared,
    random: Random,
    buffer: Vec<u8>,
    is_connected: bool,
    is_over: bool,
    has_failed: bool,
    index: u32,
    nodes: BTreeMap<u32, u8>,
    names: BTreeMap<String, u32>,
    exposes: BTreeSet<(u32, u32)>,
    slots: Vec<Option<Pending>>,
    next_number: u32,
    running: Vec<Running>,
    reached: BTreeSet<u8>,
    next_try: Instant,
    has_proved: bool,
}

/// The process of a node, from its start to its crash.
pub async fn process(me: u8, seed: u64, ledger: Shared) -> turmoil::Result {
    let life = ledger.borrow_mut().born(me);
    let mut random = Random::new(seed, 100 + u64::from(me) + 1000 * u64::from(life));
    let mut next_number = 0;
    loop {
        let bell = Arc::new(Notify::new());
        let options = options(me, &mut random);
        let ring = bell.clone();
        let node = Node::open_here(options, Box::new(move || ring.notify_one()))?;
        let mut script = Script {
            me,
            life,
            node,
            ledger: ledger.clone(),
            random: random.clone(),
            buffer: vec![0; PUMP_BYTES],
            is_connected: false,
            is_over: false,
            has_failed: false,
            index: 0,
            nodes: BTreeMap::new(),
            names: BTreeMap::new(),
            exposes: BTreeSet::new(),
            slots: Vec::new(),
            next_number,
            running: Vec::new(),
            reached: BTreeSet::new(),
            next_try: Instant::now(),
            has_proved: false,
        };
        let away = script.live(&bell).await;
        random = script.random.clone();
        next_number = script.next_number;
        drop(script);
        tokio::time::sleep(away).await;
    }
}

fn options(me: u8, random: &mut Random) -> NodeOptions {
    let target = Target::Dialled(Arc::new(|| Box::pin(network::dial())));
    // A pause that is drawn by the core would not come from the seed: first and longest are the same.
    let pause = random.millis(10, 100);
    NodeOptions {
        handshake_timeout: HANDSHAKE,
        reconnect: (pause, pause),
        max_payload: 4 << 20,
        inbound_bytes: 256 << 10,
        outbound_soft: 256 << 10,
        inline: random.percent(50),
        ..NodeOptions::new(name(me), target, Credentials::Token(network::TOKEN.into()))
    }
}

impl Script {
    /// Runs until the node has left or failed for good; gives how long to stay away.
    async fn live(&mut self, bell: &Notify) -> Duration {
        let mut away = Duration::ZERO;
        let mut is_leaving = false;
        while !self.is_over {
            let _ = tokio::time::timeout(LOOK, bell.notified()).await;
            let phase = self.ledger.borrow().phase;
            if phase == Phase::Traffic && self.random.percent(1) {
                // The thread is busy. What it does next it does on what it knew before.
                tokio::time::sleep(self.random.millis(1, 600)).await;
                if self.random.percent(50) {
                    self.act(phase);
                }
            }
            self.drain();
            self.act(phase);
            self.publish();
            let leave = self.ledger.borrow_mut().hosts[usize::from(self.me)].leave.take();
            if let Some(leave) = leave {
                away = leave;
                is_leaving = true;
                self.node.close(Duration::from_millis(50));
            } else if self.has_failed && !is_leaving {
                away = Duration::from_millis(20);
                is_leaving = true;
                self.node.close(Duration::ZERO);
            }
        }
        self.end_all(End::Stopped);
        self.publish();
        away
    }

    fn publish(&self) {
        let mut ledger = self.ledger.borrow_mut();
        let host = &mut ledger.hosts[usize::from(self.me)];
        host.is_connected = self.is_connected;
        host.reached = self.reached.len();
        host.pending = self.slots.iter().flatten().count();
        host.running = self.running.iter().map(|run| run.id).collect();
        host.queued = self.node.stats().queued_bytes;
    }

    fn note(&self, what: &str) {
        Ledger::note(&self.ledger, format!("node {} {what}", self.me));
    }

    fn violated(&self, what: &str) {
        self.ledger.borrow_mut().violated(format!("node {}: {what}", self.me));
    }

    // What arrives.

    fn drain(&mut self) {
        loop {
            let mut buffer = std::mem::take(&mut self.buffer);
            let drained = self.node.drain(&mut buffer);
            let mut frames = &buffer[..drained.bytes];
            while let Some((head, rest)) = frames.split_first_chunk::<HEADER_BYTES>() {
                let word = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap());
                let body = &rest[..word(0) as usize];
                let payload = &body[usize::from(u16::from_le_bytes([head[6], head[7]]))..];
                let seen =
                    Seen { flags: head[5], node: word(8), slot: word(12), generation: word(16), callback: word(20) };
                self.take(head[4], seen, payload);
                frames = &rest[daffi_protocol::padded(body.len())..];
            }
            self.buffer = buffer;
            if !drained.more {
                return;
            }
        }
    }

    fn take(&mut self, kind: u8, seen: Seen, payload: &[u8]) {
        match kind {
            DISCONNECTED => {
                self.note("is disconnected");
                self.end_all(End::Lost);
                self.is_connected = false;
                self.index = 0;
                self.running.clear();
                self.nodes.clear();
                self.names.clear();
                self.exposes.clear();
            }
            FAILED => {
                self.note("has failed");
                self.has_failed = true;
            }
            ROOM | BIG_ROOM => {}
            CLOSED => self.is_over = true,
            kind => match Kind::from_u8(kind) {
                Some(Kind::Welcome) => self.welcome(&control::parse(payload).unwrap()),
                Some(Kind::RegistryChange) => self.learn(control::parse(payload).unwrap()),
                Some(Kind::Request) => self.requested(seen, payload),
                Some(Kind::Response) => self.answered(seen, payload),
                Some(Kind::Cancel) => self.cancelled(seen),
                Some(Kind::CallerItems) => self.items_of_caller(seen, payload),
                Some(Kind::CalleeItems) => self.items_of_callee(seen, payload),
                Some(Kind::CallerCredit | Kind::CalleeCredit | Kind::Goodbye) => {}
                other => self.violated(&format!("saw a frame of kind {kind}, {other:?}")),
            },
        }
    }

    fn welcome(&mut self, welcome: &Welcome) {
        if self.is_connected || !self.nodes.is_empty() {
            self.violated("was welcomed twice on one connection");
        }
        self.note("is welcome");
        self.ledger.borrow_mut().counts.connections += 1;
        self.is_connected = true;
        self.index = welcome.node;
        self.learn(welcome.registry.clone());
        let register = Register { add: vec!["f".into(), own(self.me)], remove: vec![] };
        self.node.submit(&control::frame(Kind::Register, &register).unwrap());
    }

    fn learn(&mut self, change: RegistryChange) {
        let number = |name: &str| name.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap();
        self.nodes.extend(change.joined.iter().map(|(index, name)| (*index, number(name))));
        self.names.extend(change.names.into_iter().map(|(id, name)| (name, id)));
        self.exposes.extend(change.exposes.iter().flat_map(|(node, ids)| ids.iter().map(|id| (*node, *id))));
        for left in change.left {
            self.nodes.remove(&left);
            self.exposes.retain(|(node, _)| *node != left);
        }
    }

    fn requested(&mut self, seen: Seen, payload: &[u8]) {
        let payload = self.payload(seen, payload);
        let (id, wish, items) = read(&payload);
        self.ledger.borrow_mut().ran(id, self.me);
        if seen.flags & flags::NO_REPLY != 0 {
            return;
        }
        let now = Instant::now();
        let due = match wish {
            Wish::Never => None,
            Wish::AnswerLater => Some(now + self.random.millis(1, 120)),
            _ => Some(now),
        };
        self.running.push(Running {
            slot: seen.slot,
            generation: seen.generation,
            id,
            wish,
            due,
            items_left: if wish == Wish::Items { items } else { 0 },
            items_sent: 0,
            items_seen: 0,
        });
    }

    fn cancelled(&mut self, seen: Seen) {
        let found = self.running.iter().position(|run| (run.slot, run.generation) == (seen.slot, seen.generation));
        if let Some(at) = found {
            let run = self.running.swap_remove(at);
            self.respond(&run, ErrorCode::Cancelled as u32, &[]);
        }
    }

    fn answered(&mut self, seen: Seen, payload: &[u8]) {
        let found = self.slots.get_mut(seen.slot as usize).and_then(Option::take);
        let Some(call) = found.filter(|call| call.generation == seen.generation) else {
            return self.violated(&format!("an answer for no call: {seen:?}"));
        };
        let from = self.nodes.get(&seen.node).copied();
        let end = if seen.callback == 0 {
            let payload = self.payload(seen, payload);
            let (id, _, sent) = read(&payload);
            let answerer = payload[RESULT_AT + 1];
            if id != call.id {
                self.violated(&format!("the answer of {id:?} came for {:?}", call.id));
            }
            if from.is_some_and(|from| from != answerer) {
                self.violated(&format!("{answerer} answered {id:?} in the name of {from:?}"));
            }
            if sent != call.items {
                self.violated(&format!("{id:?} was answered behind {sent} items, and {} came", call.items));
            }
            match call.purpose {
                Purpose::Traffic => {}
                Purpose::Reach(node) => drop(self.reached.insert(node)),
                Purpose::Prove => self.ledger.borrow_mut().hosts[usize::from(self.me)].proved += 1,
            }
            End::Answered(answerer)
        } else {
            End::Failed(seen.callback)
        };
        let mut ledger = self.ledger.borrow_mut();
        if call.is_given_up {
            ledger.counts.late += 1;
        } else {
            ledger.settled(call.id, end);
        }
    }

    fn items_of_callee(&mut self, seen: Seen, payload: &[u8]) {
        let number = read(payload).2;
        self.ledger.borrow_mut().counts.items += 1;
        let found = self.slots.get_mut(seen.slot as usize).and_then(Option::as_mut);
        match found.filter(|call| call.generation == seen.generation) {
            Some(call) if call.items == seen.callback && number == seen.callback => call.items += 1,
            Some(call) => {
                let what = format!("item {} of {:?} came after {} items", seen.callback, call.id, call.items);
                self.violated(&what);
            }
            None => self.violated(&format!("an item for no call: {seen:?}")),
        }
    }

    fn items_of_caller(&mut self, seen: Seen, payload: &[u8]) {
        let (id, _, number) = read(payload);
        self.ledger.borrow_mut().counts.items += 1;
        // Behind an answer or a cancel there may be some on their way.
        let found = self.running.iter_mut().find(|run| (run.slot, run.generation) == (seen.slot, seen.generation));
        let Some(run) = found else { return };
        if run.id != id || run.items_seen != number {
            let what = format!("item {number} of {id:?} came to {:?} after {} items", run.id, run.items_seen);
            return self.violated(&what);
        }
        run.items_seen += 1;
    }

    fn payload(&self, seen: Seen, payload: &[u8]) -> Vec<u8> {
        if seen.flags & flags::BIG == 0 {
            return payload.to_vec();
        }
        let token = u32::from_le_bytes(payload.try_into().unwrap());
        self.node.take_big(token).map(|payload| payload.to_vec()).unwrap_or_else(|| {
            self.violated("a big payload could not be taken");
            written(NOBODY, Wish::Fail, 0, self.me, 0)
        })
    }

    fn end_all(&mut self, end: End) {
        for slot in &mut self.slots {
            if let Some(call) = slot.take()
                && !call.is_given_up
            {
                self.ledger.borrow_mut().settled(call.id, end);
            }
        }
    }

    // What leaves.

    fn act(&mut self, phase: Phase) {
        self.answer_due();
        self.give_up_due();
        if !self.is_connected || self.has_failed {
            return;
        }
        match phase {
            Phase::Traffic if self.random.percent(30) => self.call_something(),
            Phase::Traffic => {}
            Phase::Recovery => {
                for slot in self.find(|call| call.is_endless && !call.is_given_up) {
                    self.give_up(slot);
                }
                if self.next_try <= Instant::now() {
                    self.next_try = Instant::now() + TRY;
                    for node in self.others().filter(|node| !self.reached.contains(node)).collect::<Vec<_>>() {
                        let (asked, purpose) = (Some(node), Purpose::Reach(node));
                        self.call(&Plan {
                            asked,
                            callback: own(node),
                            purpose,
                            deadline: Some(TRY),
                            ..Plan::default()
                        });
                    }
                }
            }
            Phase::Proof if !self.has_proved => {
                self.has_proved = true;
                for node in self.others().collect::<Vec<_>>() {
                    let (asked, purpose) = (Some(node), Purpose::Prove);
                    if !self.call(&Plan { asked, callback: own(node), purpose, ..Plan::default() }) {
                        self.violated(&format!("does not know {node} in the end"));
                    }
                }
            }
            Phase::Proof => {}
        }
    }

    fn others(&self) -> impl Iterator<Item = u8> {
        let me = self.me;
        (0..NODES as u8).filter(move |node| *node != me)
    }

    fn answer_due(&mut self) {
        let now = Instant::now();
        let mut at = 0;
        while at < self.running.len() {
            let run = &mut self.running[at];
            if run.due.is_none_or(|due| due > now) {
                at += 1;
                continue;
            }
            if run.items_left > 0 {
                let header = Header {
                    slot: run.slot,
                    generation: run.generation,
                    callback: run.items_sent,
                    ..Header::new(Kind::CalleeItems)
                };
                let body = written(run.id, run.wish, run.items_sent, self.me, 0);
                run.items_sent += 1;
                run.items_left -= 1;
                run.due = Some(now + Duration::from_millis(self.random.below(10)));
                self.node.submit(&header.frame(&body));
                at += 1;
                continue;
            }
            let run = self.running.swap_remove(at);
            let code = if run.wish == Wish::Fail { ErrorCode::RemoteError as u32 } else { 0 };
            let filler = if run.wish == Wish::AnswerBig { BIG_FILLER } else { 0 };
            let body = written(run.id, run.wish, run.items_sent, self.me, filler);
            self.respond(&run, code, &body);
            if run.wish == Wish::AnswerTwice {
                // Its ticket may be that of another call by then.
                let due = now + self.random.millis(0, 40);
                self.running.push(Running { due: Some(due), wish: Wish::Answer, ..run });
            }
        }
    }

    fn respond(&self, run: &Running, callback: u32, body: &[u8]) {
        let header = Header { slot: run.slot, generation: run.generation, callback, ..Header::new(Kind::Response) };
        self.send(header, body);
    }

    fn send(&self, header: Header, body: &[u8]) {
        if body.len() > 64 << 10 {
            self.node.submit_big(header, &[], &[body]);
        } else {
            self.node.submit(&header.frame(body));
        }
    }

    fn give_up_due(&mut self) {
        let now = Instant::now();
        let due = |call: &Pending| !call.is_given_up && call.deadline.is_some_and(|deadline| deadline <= now);
        for slot in self.find(due) {
            self.give_up(slot);
        }
    }

    fn find(&self, wanted: impl Fn(&Pending) -> bool) -> Vec<usize> {
        let is_wanted = |slot: &usize| self.slots[*slot].as_ref().is_some_and(&wanted);
        (0..self.slots.len()).filter(is_wanted).collect()
    }

    /// The timeout or the cancel of a call: over for its maker at once, its slot stays taken.
    fn give_up(&mut self, slot: usize) {
        let Some(call) = &mut self.slots[slot] else { return };
        call.is_given_up = true;
        let (slot, generation) = (slot as u32, call.generation);
        self.ledger.borrow_mut().settled(call.id, End::TimedOut);
        self.node.submit(&Header { slot, generation, ..Header::new(Kind::Cancel) }.encode());
    }

    fn call_something(&mut self) {
        let wish = WISHES[self.random.below(WISHES.len() as u64) as usize];
        let deadline = self.random.percent(50).then(|| self.random.millis(2, 200));
        let others: Vec<u8> = self.nodes.values().copied().filter(|node| *node != self.me).collect();
        let other = (!others.is_empty()).then(|| others[self.random.below(others.len().max(1) as u64) as usize]);
        let plan = Plan { wish, deadline, ..Plan::default() };
        match self.random.below(20) {
            // Whoever has it.
            0..8 => drop(self.call(&plan)),
            // A node that was chosen before.
            8..11 => drop(self.call(&Plan { asked: other, is_pinned: true, ..plan })),
            // The only node that has it.
            11..14 => {
                if let Some(other) = other {
                    self.call(&Plan { asked: Some(other), callback: own(other), ..plan });
                }
            }
            14..16 => {
                for node in others {
                    self.call(&Plan { asked: Some(node), is_pinned: true, ..plan.clone() });
                }
            }
            16 => drop(self.call(&Plan { is_silent: true, ..plan })),
            17 => {
                let filler = if self.random.percent(20) { HUGE_FILLER } else { BIG_FILLER };
                self.call(&Plan { filler, ..plan });
            }
            _ => {
                let own_items = self.random.below(6) as u32;
                self.call(&Plan { wish: Wish::Items, own_items, ..plan });
            }
        }
    }

    /// Makes a call, if what it needs is known.
    fn call(&mut self, plan: &Plan) -> bool {
        let Some(&callback) = self.names.get(&plan.callback) else { return false };
        let node = match plan.asked.filter(|_| plan.is_pinned) {
            None => 0,
            Some(asked) => match self.nodes.iter().find(|(_, node)| **node == asked) {
                None => return false,
                Some((index, _)) => *index,
            },
        };
        if plan.is_pinned && node == 0 {
            return false;
        }
        self.next_number += 1;
        let id = CallId { caller: self.me, life: self.life, number: self.next_number };
        self.ledger.borrow_mut().made(id, plan.asked, plan.is_silent);
        let items = self.random.below(8) as u32;
        let body = written(id, plan.wish, items, self.me, plan.filler);
        let is_stream = plan.wish == Wish::Items;
        let bits = if plan.is_silent { flags::NO_REPLY } else { 0 } | if is_stream { flags::STREAM } else { 0 };
        if plan.is_silent {
            self.send(Header { node, callback, flags: bits, ..Header::new(Kind::Request) }, &body);
            return true;
        }
        let slot = self.slots.iter().position(Option::is_none).unwrap_or(self.slots.len());
        if slot == self.slots.len() {
            self.slots.push(None);
        }
        self.slots[slot] = Some(Pending {
            generation: self.next_number,
            id,
            is_given_up: false,
            is_endless: plan.deadline.is_none() && plan.purpose == Purpose::Traffic,
            deadline: plan.deadline.map(|after| Instant::now() + after),
            items: 0,
            purpose: plan.purpose,
        });
        let slot = slot as u32;
        let generation = self.next_number;
        self.send(Header { node, callback, slot, generation, flags: bits, ..Header::new(Kind::Request) }, &body);
        for number in 0..plan.own_items {
            let header = Header { slot, generation, callback: number, ..Header::new(Kind::CallerItems) };
            self.node.submit(&header.frame(&written(id, plan.wish, number, self.me, 0)));
        }
        true
    }
}

/// A call to make.
#[derive(Clone, Debug)]
struct Plan {
    callback: String,
    /// Who is to run it.
    asked: Option<u8>,
    /// Whether the request says so.
    is_pinned: bool,
    wish: Wish,
    deadline: Option<Duration>,
    is_silent: bool,
    filler: usize,
    own_items: u32,
    purpose: Purpose,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            callback: "f".into(),
            asked: None,
            is_pinned: false,
            wish: Wish::Answer,
            deadline: None,
            is_silent: false,
            filler: 0,
            own_items: 0,
            purpose: Purpose::Traffic,
        }
    }
}

/// The header of a frame that JavaScript sees.
#[derive(Clone, Copy, Debug)]
struct Seen {
    flags: u8,
    node: u32,
    slot: u32,
    generation: u32,
    callback: u32,
}

/// The callback that this node alone exposes.
fn own(node: u8) -> String {
    format!("only-{node}")
}

/// A MessagePack byte string: the call, what to do, a number, who wrote it, and filler.
fn written(id: CallId, wish: Wish, number: u32, writer: u8, filler: usize) -> Vec<u8> {
    let mut payload = vec![0xc6];
    let length = u32::try_from(RESULT_AT + 2 - 5 + filler).unwrap();
    payload.extend(length.to_be_bytes());
    payload.push(id.caller);
    payload.extend(id.life.to_le_bytes());
    payload.extend(id.number.to_le_bytes());
    payload.extend(number.to_le_bytes());
    payload.extend([wish as u8, writer]);
    payload.resize(payload.len() + filler, 7);
    payload
}

fn read(payload: &[u8]) -> (CallId, Wish, u32) {
    let word = |at: usize| u32::from_le_bytes(payload[at..at + 4].try_into().unwrap());
    let id = CallId { caller: payload[5], life: word(6), number: word(10) };
    (id, WISHES[usize::from(payload[RESULT_AT])], word(14))
}

/// Where the wish stands in a payload; the writer is behind it.
const RESULT_AT: usize = 18;
const BIG_FILLER: usize = 150_000;
/// More than the socket takes at once.
const HUGE_FILLER: usize = 2_500_000;
const NOBODY: CallId = CallId { caller: 255, life: 0, number: 0 };
/// How long to wait for a node that may not be there yet.
const TRY: Duration = Duration::from_millis(60);
/// How often a script looks at what is due.
const LOOK: Duration = Duration::from_millis(2);

const DISCONNECTED: u8 = 240;
const FAILED: u8 = 241;
const ROOM: u8 = 242;
const BIG_ROOM: u8 = 244;
const CLOSED: u8 = 243;
