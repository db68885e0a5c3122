//! The controller's decision about a frame: header read, chosen, rewritten.

use crate::{Figure, Outcome, allocations, reference, time};
use daffi_core::controller::router::{Route, Router};
use daffi_protocol::control::Register;
use daffi_protocol::limits::HEADER_BYTES;
use daffi_protocol::{Header, Kind};

/// Calls under way at once.
const CALLS: u32 = 256;
const RUNS: u32 = 100;

/// A router with a node that calls and one that answers.
struct Calls {
    router: Router,
    caller: u32,
    callee: u32,
    requests: Vec<[u8; HEADER_BYTES]>,
    answers: Vec<[u8; HEADER_BYTES]>,
    /// Frames that did not go where they should.
    strays: u32,
}

/// The figures of the router.
pub fn figures() -> Outcome<Vec<Figure>> {
    let mut calls = Calls::new()?;
    calls.run();
    let before = allocations::count();
    for _ in 0..RUNS {
        calls.run();
    }
    let allocated = allocations::count() - before;
    let headers = vec![7; 2 * HEADER_BYTES * CALLS as usize];
    let ratio = time::ratio(|| calls.run(), || reference::hash(&headers));
    if calls.strays > 0 {
        return Err(format!("{} frames were not forwarded", calls.strays).into());
    }
    let frames = 2 * RUNS * CALLS;
    Ok(vec![("route_allocations", allocated as f64 / f64::from(frames)), ("route_ratio", ratio)])
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
        Ok(Self { router, caller, callee, answers: requests.clone(), requests, strays: 0 })
    }

    /// All requests, then all answers.
    fn run(&mut self) {
        for (request, answer) in self.requests.iter().zip(&mut self.answers) {
            let mut frame = *request;
            let Some(header) = forward(&mut self.router, self.caller, self.callee, &mut frame) else {
                self.strays += 1;
                continue;
            };
            let (slot, generation) = (header.slot, header.generation);
            *answer = Header { slot, generation, ..Header::new(Kind::Response) }.encode();
        }
        for answer in &mut self.answers {
            if forward(&mut self.router, self.callee, self.caller, answer).is_none() {
                self.strays += 1;
            }
        }
    }
}

/// Routes a frame as the controller does; `None` when it does not go to `to`.
fn forward(router: &mut Router, from: u32, to: u32, frame: &mut [u8]) -> Option<Header> {
    let mut header = Header::decode(frame).ok()??;
    let route = router.route(from, &mut header);
    header.write_over(frame);
    (route == Route::Forward(to)).then_some(header)
}
