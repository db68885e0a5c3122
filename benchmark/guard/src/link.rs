//! A batch of calls through everything: submitted by a node, routed by the controller, drained by the other node, and
//! its answers the same way back.

use crate::pair::{End, Pair};
use crate::time::median;
use crate::{Figure, Outcome, allocations, reference, system_calls};
use daffi_protocol::{Header, Kind};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Calls of a batch: as many requests, then as many answers.
const CALLS: u32 = 256;
/// Batches before anything counts.
const WARM_UP: u32 = 50;
/// Batches that count.
const BATCHES: u32 = 400;
/// MessagePack of `[1, 2]`.
const PAYLOAD: [u8; 3] = [0x92, 1, 2];

/// The figures of the links and of the controller.
pub fn figures() -> Outcome<Vec<Figure>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, measure())
}

async fn measure() -> Outcome<Vec<Figure>> {
    let mut pair = Pair::start().await?;
    let header = Header { generation: 1, callback: pair.callback, ..Header::new(Kind::Request) };
    let requests: Vec<u8> = (0..CALLS).flat_map(|slot| Header { slot, ..header }.frame(&PAYLOAD)).collect();
    let mut answers = requests.clone();
    let mut bare = Bare::new(&requests)?;
    let mut stages = Stages::default();
    let mut fastest_bare = Duration::MAX;
    for batch in 0..WARM_UP + BATCHES {
        if batch == WARM_UP {
            stages = Stages::default();
        }
        pass(&pair.caller, &mut pair.worker, &requests, &mut stages).await?;
        turn_round(&pair.worker.buffer, &mut answers)?;
        pass(&pair.worker, &mut pair.caller, &answers, &mut stages).await?;
        check(&pair.caller.buffer)?;
        stages.end_batch();
        fastest_bare = fastest_bare.min(bare.time()?);
    }
    let mut figures =
        stages.submit.figures(["submit_allocations", "submit_system_calls", "submit_ratio"], fastest_bare);
    let names = ["controller_allocations", "controller_system_calls", "controller_ratio"];
    figures.extend(stages.controller.figures(names, fastest_bare));
    figures.extend(stages.drain.figures(["drain_allocations", "drain_system_calls", "drain_ratio"], fastest_bare));
    Ok(figures)
}

/// Brings `frames` from one node to the other, stage by stage.
async fn pass(from: &End, to: &mut End, frames: &[u8], stages: &mut Stages) -> Outcome<()> {
    let mark = Mark::new();
    let is_full = from.node.submit(frames);
    stages.submit.add(&mark);
    let mark = Mark::new();
    to.arrival(frames.len()).await?;
    stages.controller.add(&mark);
    let mark = Mark::new();
    let drained = to.node.drain(&mut to.buffer);
    stages.drain.add(&mark);
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

/// What the batches took, by stage.
#[derive(Default)]
struct Stages {
    submit: Stage,
    controller: Stage,
    drain: Stage,
}

impl Stages {
    fn end_batch(&mut self) {
        for stage in [&mut self.submit, &mut self.controller, &mut self.drain] {
            stage.batches.push(std::mem::take(&mut stage.batch));
        }
    }
}

#[derive(Default)]
struct Stage {
    /// Of the batch under way.
    batch: Taken,
    /// Of those before.
    batches: Vec<Taken>,
}

#[derive(Clone, Copy, Default)]
struct Taken {
    allocations: u64,
    system_calls: u64,
    time: Duration,
}

impl Stage {
    fn add(&mut self, mark: &Mark) {
        self.batch.time += mark.start.elapsed();
        self.batch.allocations += allocations::count() - mark.allocations;
        self.batch.system_calls += system_calls::count().unwrap_or_default() - mark.system_calls;
    }

    /// Counts of the middle batch, and the time of the fastest against that of the bare sockets.
    fn figures(&self, [allocations, system_calls, ratio]: [&'static str; 3], bare: Duration) -> Vec<Figure> {
        let fastest = self.batches.iter().map(|batch| batch.time).min().unwrap_or_default();
        let mut figures = vec![
            (allocations, median(self.batches.iter().map(|batch| batch.allocations).collect()) as f64),
            (ratio, fastest.as_secs_f64() / bare.as_secs_f64()),
        ];
        if system_calls::count().is_some() {
            figures.push((system_calls, median(self.batches.iter().map(|batch| batch.system_calls).collect()) as f64));
        }
        figures
    }
}

/// What was counted when a stage began.
struct Mark {
    allocations: u64,
    system_calls: u64,
    start: Instant,
}

impl Mark {
    fn new() -> Self {
        let (allocations, system_calls) = (allocations::count(), system_calls::count().unwrap_or_default());
        Self { allocations, system_calls, start: Instant::now() }
    }
}

/// The reference: the same bytes through as many sockets, each byte looked at once.
struct Bare {
    sockets: [(UnixStream, UnixStream); 2],
    bytes: Vec<u8>,
}

impl Bare {
    fn new(bytes: &[u8]) -> Outcome<Self> {
        Ok(Self { sockets: [UnixStream::pair()?, UnixStream::pair()?], bytes: bytes.to_vec() })
    }

    /// How long a batch takes: there and back.
    fn time(&mut self) -> Outcome<Duration> {
        let start = Instant::now();
        for _ in 0..2 {
            for (near, far) in &mut self.sockets {
                near.write_all(&self.bytes)?;
                far.read_exact(&mut self.bytes)?;
            }
            reference::hash(&self.bytes);
        }
        Ok(start.elapsed())
    }
}
