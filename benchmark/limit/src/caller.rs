//! The caller: runs the works that the harness asks for, a line `name=value …` each, and prints their figures as JSON.

use std::io::BufRead;
use std::rc::Rc;
use std::time::Instant;

use tokio::sync::mpsc;

use crate::frame::{ADD, ECHO, HEADER_BYTES, HELLO, Header, NO_REPLY, NOTE, REQUEST};
use crate::greeting::greet;
use crate::meter::{Meter, resident_kib};
use crate::order::Order;
use crate::reader::Reader;
use crate::socket::{Address, Socket};
use crate::{Outcome, broadcast, crowd, say, stream};

/// Frames without answer that go out in one write.
const WRITE_BYTES: usize = 64 * 1024;
/// Workers of W5.
const WORKERS: usize = 8;

/// Connects and works until standard input ends. A starter makes a call before it says that it is ready.
pub async fn run(address: Address, starter: bool) -> Outcome<()> {
    let socket = Rc::new(Socket::connect(&address)?);
    let mut reader = Reader::new();
    let workers = greet(&socket, &mut reader, HELLO).await?;
    let mut caller = Caller {
        address,
        socket,
        reader,
        workers,
        latencies: Vec::new(),
        generation: 0,
        pattern: Vec::new(),
        notes: 0,
        crowd: Vec::new(),
    };
    if starter {
        caller.add(1, 1).await?;
    }
    let (orders, mut queue) = mpsc::channel::<String>(1);
    // Input is read on a thread of its own: the loop of the works is never blocked by it.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if orders.blocking_send(line).is_err() {
                return;
            }
        }
        std::process::exit(0);
    });
    say("{\"ready\":true}")?;
    while let Some(line) = queue.recv().await {
        let figures = match caller.work(&Order::parse(&line)?).await {
            Ok(figures) => figures,
            Err(error) => format!("{{\"error\":{:?}}}", error.to_string()),
        };
        say(&figures)?;
    }
    Ok(())
}

struct Caller {
    address: Address,
    socket: Rc<Socket>,
    reader: Reader,
    /// How many the broker knew when it welcomed this caller.
    workers: usize,
    /// Microseconds of each call of the last window with one call outstanding.
    latencies: Vec<f64>,
    generation: u32,
    /// The payload of W3, made once, in the warm-up.
    pattern: Vec<u8>,
    /// Calls that the worker must have counted.
    notes: usize,
    /// The idle connections of W8, which stay open.
    crowd: Vec<Socket>,
}

impl Caller {
    async fn work(&mut self, order: &Order) -> Outcome<String> {
        let (warmup, calls) = (order.number("warmup")?, order.number("calls")?);
        self.step(order, warmup, true).await?;
        let router = u32::try_from(order.number("router")?)?;
        let kib_before = resident_kib(router)?;
        let meter = Meter::begin(order.pids.clone())?;
        self.step(order, calls, false).await?;
        let (elapsed, cpu) = meter.end()?;
        let rate = calls as f64 / elapsed.as_secs_f64();
        let figures = match order.work.as_str() {
            "W1" => {
                self.latencies.sort_by(f64::total_cmp);
                let at = |share: f64| self.latencies.get((calls as f64 * share) as usize).copied().unwrap_or(f64::NAN);
                format!("\"p50_us\":{:.2},\"p99_us\":{:.2}", at(0.5), at(0.99))
            }
            "W3" => format!("\"mib_per_second\":{:.1}", rate * order.number("bytes")? as f64 / f64::from(1 << 20)),
            "W4" => format!("\"items_per_second\":{rate:.0}"),
            "W5" => format!("\"broadcasts_per_second\":{rate:.0}"),
            "W8" => {
                self.add(1, 1).await?;
                let kib = (resident_kib(router)? as f64 - kib_before as f64) / calls as f64;
                format!("\"connect_ms\":{:.2},\"kib_per_connection\":{kib:.3}", elapsed.as_secs_f64() * 1000.0)
            }
            _ => format!("\"calls_per_second\":{rate:.0}"),
        };
        Ok(format!("{{\"figures\":{{{figures}}},\"calls\":{calls},\"cpu_ns\":{cpu:?}}}"))
    }

    async fn step(&mut self, order: &Order, calls: usize, warming: bool) -> Outcome<()> {
        match order.work.as_str() {
            "W1" => {
                // MessagePack of an array with one string of up to 255 bytes.
                let bytes = order.number("bytes")?;
                let mut body = vec![0x91, 0xd9, u8::try_from(bytes)?];
                body.resize(bytes + 3, b'x');
                self.window(ECHO, &body, &body.clone(), 1, calls).await
            }
            "W2" => self.add(order.number("outstanding")?, calls).await,
            "W3" => self.big(order.number("bytes")?, order.number("outstanding")?, calls, warming).await,
            "W4" => stream::receive(&self.socket, &mut self.reader, calls).await,
            "W5" => self.broadcast(order.number("outstanding")?, calls).await,
            "W6" => self.notes(calls).await,
            "W8" => {
                self.crowd.extend(crowd::open(&self.address, &mut self.reader, calls).await?);
                Ok(())
            }
            other => Err(format!("unknown work {other}").into()),
        }
    }

    async fn add(&mut self, outstanding: usize, calls: usize) -> Outcome<()> {
        self.window(ADD, &[0x92, 1, 2], &[3], outstanding, calls).await
    }

    async fn broadcast(&mut self, outstanding: usize, calls: usize) -> Outcome<()> {
        if self.workers != WORKERS {
            return Err(format!("{} workers, not {WORKERS}", self.workers).into());
        }
        self.generation = self.generation.wrapping_add(1);
        let plan = broadcast::Plan { outstanding, calls, workers: self.workers, generation: self.generation };
        broadcast::add_everywhere(&self.socket, &mut self.reader, &plan).await
    }

    /// Keeps `outstanding` calls under way until `calls` are answered; every answer must be `expected`.
    async fn window(
        &mut self,
        callback: u32,
        body: &[u8],
        expected: &[u8],
        outstanding: usize,
        calls: usize,
    ) -> Outcome<()> {
        self.latencies.clear();
        self.generation = self.generation.wrapping_add(1);
        let body_len = u32::try_from(body.len())?;
        let mut request =
            Header { body_len, kind: REQUEST, flags: 0, node: 0, slot: 0, generation: self.generation, callback };
        let mut output = Vec::new();
        let (mut sent, mut answered, mut wrong) = (outstanding.min(calls), 0, 0);
        for slot in 0..sent {
            request.slot = u32::try_from(slot)?;
            request.append(body, &mut output);
        }
        let mut start = Instant::now();
        self.socket.write(&output).await?;
        while answered < calls {
            output.clear();
            let Self { reader, socket, latencies, generation, .. } = self;
            reader
                .batch(socket, |header, answer| {
                    answered += 1;
                    wrong += usize::from(answer != expected || header.generation != *generation);
                    if outstanding == 1 {
                        let now = Instant::now();
                        latencies.push((now - start).as_secs_f64() * 1e6);
                        start = now;
                    }
                    if sent < calls {
                        sent += 1;
                        Header { slot: header.slot, ..request }.append(body, &mut output);
                    }
                })
                .await?;
            self.socket.write(&output).await?;
        }
        if wrong == 0 { Ok(()) } else { Err(format!("{wrong} wrong answers").into()) }
    }

    /// Echoes `calls` payloads of `bytes`, each of them stamped and its stamps checked in the answer.
    async fn big(&mut self, bytes: usize, outstanding: usize, calls: usize, warming: bool) -> Outcome<()> {
        let body_len = u32::try_from(bytes)?;
        let (requests, mut queue) = mpsc::channel::<Vec<u8>>(outstanding.max(1));
        let (outlet, pool) = (Rc::clone(&self.socket), Rc::clone(&self.reader.pool));
        let writer = tokio::task::spawn_local(async move {
            while let Some(frame) = queue.recv().await {
                outlet.write(&frame).await?;
                pool.borrow_mut().push(frame);
            }
            Ok::<(), std::io::Error>(())
        });
        let request = Header { body_len, kind: REQUEST, flags: 0, node: 0, slot: 0, generation: 0, callback: ECHO };
        if self.pattern.len() != bytes {
            self.pattern = (0..bytes).map(|at| (at * 31 + (at >> 8)) as u8).collect();
        }
        let mut sent = outstanding.min(calls);
        for slot in 0..sent {
            let mut frame = Vec::with_capacity(request.frame_len());
            Header { slot: u32::try_from(slot)?, ..request }.append(&self.pattern, &mut frame);
            stamp(&mut frame, u32::try_from(slot)?);
            requests.send(frame).await?;
        }
        let mut answered = 0;
        while answered < calls {
            let Some(mut frame) = self.reader.batch(&self.socket, |_, _| {}).await? else { continue };
            answered += 1;
            let header = Header::read(&frame).ok_or("no header")?;
            if header.body_len != body_len || stamps(&frame).iter().any(|stamp| *stamp != Some(header.slot)) {
                return Err("a wrong answer".into());
            }
            // The stamps replace four bytes at the front, in the middle and at the end.
            let wrong = |(sent, back): (&u8, &u8)| sent != back;
            let body = frame.get(HEADER_BYTES..).unwrap_or_default();
            if warming && self.pattern.iter().zip(body).filter(|pair| wrong(*pair)).count() > 12 {
                return Err("a payload came back changed".into());
            }
            if sent < calls {
                let slot = u32::try_from(sent)?;
                sent += 1;
                if let Some(place) = frame.get_mut(..HEADER_BYTES) {
                    place.copy_from_slice(&Header { slot, ..request }.bytes());
                }
                stamp(&mut frame, slot);
                requests.send(frame).await?;
            }
        }
        drop(requests);
        Ok(writer.await??)
    }

    /// Sends calls without result, asks for the result of the last one and checks that all arrived.
    async fn notes(&mut self, calls: usize) -> Outcome<()> {
        let mut output = Vec::with_capacity(WRITE_BYTES + 64);
        for call in 0..calls {
            let last = call + 1 == calls;
            let flags = if last { 0 } else { NO_REPLY };
            // MessagePack of an array with one integer of 32 bits.
            let [a, b, c, d] = u32::try_from(call)?.to_be_bytes();
            Header { body_len: 6, kind: REQUEST, flags, node: 0, slot: 0, generation: 0, callback: NOTE }
                .append(&[0x91, 0xce, a, b, c, d], &mut output);
            if last || output.len() >= WRITE_BYTES {
                self.socket.write(&output).await?;
                output.clear();
            }
        }
        let mut count = None;
        while count.is_none() {
            self.reader.batch(&self.socket, |_, body| count = body.first_chunk::<4>().copied()).await?;
        }
        self.notes += calls;
        let arrived = count.map(u32::from_le_bytes);
        if arrived == Some(u32::try_from(self.notes)?) { Ok(()) } else { Err("some calls were lost".into()) }
    }
}

/// Where the stamps stand in a frame.
fn stamp_places(frame_len: usize) -> [usize; 3] {
    [HEADER_BYTES, (HEADER_BYTES + frame_len) / 16 * 8, frame_len - 8]
}

fn stamp(frame: &mut [u8], number: u32) {
    for place in stamp_places(frame.len()) {
        if let Some(bytes) = frame.get_mut(place..place + 4) {
            bytes.copy_from_slice(&number.to_le_bytes());
        }
    }
}

fn stamps(frame: &[u8]) -> [Option<u32>; 3] {
    stamp_places(frame.len())
        .map(|place| frame.get(place..)?.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes)))
}
