//! A batch of calls through everything: submitted by a node, routed by the controller, drained by the other node, and
//! its answers the same way back.

use crate::pair::{End, Pair};
use crate::{Figure, Outcome, allocations, instructions, system_calls};
use daffi_protocol::{Header, Kind};

/// Calls of a batch: as many requests, then as many answers.
const CALLS: u32 = 256;
/// Batches before anything counts.
const WARM_UP: u32 = 50;
/// Batches that count, for each stage.
const BATCHES: u32 = 100;
/// MessagePack of `[1, 2]`.
const PAYLOAD: [u8; 3] = [0x92, 1, 2];

/// The figures of the links and of the controller. Tells their instructions.
pub fn figures() -> Outcome<Vec<Figure>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, measure())
}

async fn measure() -> Outcome<Vec<Figure>> {
    let mut pair = Pair::start().await?;
    let header = Header { generation: 1, callback: pair.callback, ..Header::new(Kind::Request) };
    let requests: Vec<u8> = (0..CALLS).flat_map(|slot| Header { slot, ..header }.frame(&PAYLOAD)).collect();
    let mut batch = Batch { answers: requests.clone(), requests };
    for _ in 0..WARM_UP {
        batch.run(&mut pair, &mut Meter::new(Stage::Submit)).await?;
    }
    instructions::forget();
    let mut figures = Vec::new();
    for (stage, [allocations, system_calls, instructions]) in [
        (Stage::Submit, ["submit_allocations", "submit_system_calls", "submit_instructions"]),
        (Stage::Controller, ["controller_allocations", "controller_system_calls", "controller_instructions"]),
        (Stage::Drain, ["drain_allocations", "drain_system_calls", "drain_instructions"]),
    ] {
        let mut batches = Vec::with_capacity(BATCHES as usize);
        for _ in 0..BATCHES {
            let mut meter = Meter::new(stage);
            batch.run(&mut pair, &mut meter).await?;
            batches.push(meter);
        }
        instructions::tell(instructions, BATCHES);
        figures.push((allocations, median(batches.iter().map(|meter| meter.allocations.0))));
        if system_calls::count().is_some() {
            figures.push((system_calls, median(batches.iter().map(|meter| meter.system_calls.0))));
        }
    }
    Ok(figures)
}

/// Frames of all its calls.
struct Batch {
    requests: Vec<u8>,
    answers: Vec<u8>,
}

impl Batch {
    /// Requests there and answers back.
    async fn run(&mut self, pair: &mut Pair, meter: &mut Meter) -> Outcome<()> {
        pass(&pair.caller, &mut pair.worker, &self.requests, meter).await?;
        turn_round(&pair.worker.buffer, &mut self.answers)?;
        pass(&pair.worker, &mut pair.caller, &self.answers, meter).await?;
        check(&pair.caller.buffer)
    }
}

/// Brings `frames` from one node to the other, stage by stage.
async fn pass(from: &End, to: &mut End, frames: &[u8], meter: &mut Meter) -> Outcome<()> {
    meter.start(Stage::Submit);
    let is_full = from.node.submit(frames);
    meter.stop(Stage::Submit);
    meter.start(Stage::Controller);
    // All tasks are of this thread: until this is ready, it is them that run.
    to.arrival(frames.len()).await?;
    meter.stop(Stage::Controller);
    meter.start(Stage::Drain);
    let drained = to.node.drain(&mut to.buffer);
    meter.stop(Stage::Drain);
    if is_full || drained.bytes != frames.len() {
        return Err(format!("{} bytes of a batch arrived of {}", drained.bytes, frames.len()).into());
    }
    Ok(())
}

/// Makes the answers to the requests in `arrived`.
fn turn_round(arrived: &[u8], answers: &mut [u8]) -> Outcome<()> {
    let length = Header::new(Kind::Request).frame(&PAYLOAD).len();
    for (request, answer) in arrived.chunks(length).zip(answers.chunks_mut(length)) {
        let header = Header::decode(request)?.ok_or("a request is cut short")?;
        let (slot, generation, body_len) = (header.slot, header.generation, header.body_len);
        if header.kind != Kind::Request || !request.ends_with(&[PAYLOAD[0], PAYLOAD[1], PAYLOAD[2], 0, 0, 0, 0, 0]) {
            return Err("another frame than a request arrived".into());
        }
        Header { slot, generation, body_len, ..Header::new(Kind::Response) }.write_over(answer);
    }
    Ok(())
}

/// Every call must have its answer, without an error.
fn check(arrived: &[u8]) -> Outcome<()> {
    let length = Header::new(Kind::Request).frame(&PAYLOAD).len();
    for (slot, answer) in (0..CALLS).zip(arrived.chunks(length)) {
        let header = Header::decode(answer)?.ok_or("an answer is cut short")?;
        if (header.kind, header.slot, header.generation, header.callback) != (Kind::Response, slot, 1, 0) {
            return Err("another frame than the answer arrived".into());
        }
    }
    Ok(())
}

/// What a batch goes through.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Submit,
    Controller,
    Drain,
}

/// What a batch takes in one of its stages.
struct Meter {
    stage: Stage,
    /// Counted so far, and what stood on the counters when it was started.
    allocations: (u64, u64),
    system_calls: (u64, u64),
}

impl Meter {
    const fn new(stage: Stage) -> Self {
        Self { stage, allocations: (0, 0), system_calls: (0, 0) }
    }

    fn start(&mut self, stage: Stage) {
        if stage == self.stage {
            self.allocations.1 = allocations::count();
            self.system_calls.1 = system_calls::count().unwrap_or_default();
            instructions::toggle();
        }
    }

    fn stop(&mut self, stage: Stage) {
        if stage == self.stage {
            instructions::toggle();
            self.allocations.0 += allocations::count() - self.allocations.1;
            self.system_calls.0 += system_calls::count().unwrap_or_default() - self.system_calls.1;
        }
    }
}

/// The middle value; of no values 0.
fn median(values: impl Iterator<Item = u64>) -> f64 {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default() as f64
}
