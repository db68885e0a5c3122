//! The controller's decision about a frame: header read, chosen, rewritten.

use crate::{Figure, Outcome, allocations, instructions};
use daffi_core::controller::router::{Route, Router};
use daffi_protocol::control::Register;
use daffi_protocol::limits::HEADER_BYTES;
use daffi_protocol::{Header, Kind};

/// Calls under way at once.
const CALLS: u32 = 256;
const RUNS: u32 = 100;
/// As many requests as answers.
const FRAMES: u32 = 2 * CALLS * RUNS;

/// A router with a node that calls and one that answers.
struct Calls {
    router: Router,
    caller: u32,
    callee: u32,
    requests: Vec<[u8; HEADER_BYTES]>,
    /// Those under way: requests, then answers.
    frames: Vec<[u8; HEADER_BYTES]>,
}

/// What the router allocates. Tells its instructions.
pub fn figure() -> Outcome<Figure> {
    let mut calls = Calls::new()?;
    // By then its tables are as large as they need to be.
    calls.run()?;
    instructions::forget();
    let before = allocations::count();
    for _ in 0..RUNS {
        calls.run()?;
    }
    let allocated = allocations::count() - before;
    instructions::tell("route_instructions", FRAMES);
    Ok(("route_allocations", allocated as f64 / f64::from(FRAMES)))
}

impl Calls {
    fn new() -> Outcome<Self> {
        let mut router = Router::new(1);
        let (caller, callee) = (router.join("caller", true), router.join("callee", true));
        let add = Register { add: vec!["add".into()], remove: vec![] };
        let change = router.registry.register(callee, &add).map_err(|code| format!("{code:?}"))?;
        let callback = change.names.first().map(|(id, _)| *id).ok_or("the callback got no id")?;
        let header = Header { generation: 1, callback, ..Header::new(Kind::Request) };
        let requests: Vec<_> = (0..CALLS).map(|slot| Header { slot, ..header }.encode()).collect();
        Ok(Self { router, caller, callee, frames: requests.clone(), requests })
    }

    /// All requests, then all answers.
    fn run(&mut self) -> Outcome<()> {
        self.frames.copy_from_slice(&self.requests);
        self.forward(self.caller, self.callee)?;
        for frame in &mut self.frames {
            let Header { slot, generation, .. } = Header::decode(frame)?.ok_or("a request is cut short")?;
            *frame = Header { slot, generation, ..Header::new(Kind::Response) }.encode();
        }
        self.forward(self.callee, self.caller)
    }

    fn forward(&mut self, from: u32, to: u32) -> Outcome<()> {
        let (router, frames) = (&mut self.router, &mut self.frames);
        let all = instructions::counted(|| frames.iter_mut().all(|frame| is_forwarded(router, from, to, frame)));
        if all { Ok(()) } else { Err("a frame was not forwarded".into()) }
    }
}

/// Routes a frame as the controller does; false when it does not go to `to`.
fn is_forwarded(router: &mut Router, from: u32, to: u32, frame: &mut [u8]) -> bool {
    let Ok(Some(mut header)) = Header::decode(frame) else { return false };
    let route = router.route(from, &mut header);
    header.write_over(frame);
    route == Route::Forward(to)
}
