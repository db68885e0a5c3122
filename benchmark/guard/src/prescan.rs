//! The walk over a payload before JavaScript sees it.

use crate::{Figure, Outcome, allocations, instructions};
use daffi_protocol::prescan::prescan;
use std::hint::black_box;

const RUNS: u32 = 1000;

/// What the pre-scan allocates. Tells its instructions.
pub fn figure() -> Outcome<Figure> {
    let record = record();
    let before = allocations::count();
    walk(&[0x92, 1, 2])?;
    let in_pairs = allocations::count() - before;
    instructions::tell("prescan_pair_instructions", RUNS);
    let before = allocations::count();
    walk(&record)?;
    let in_records = allocations::count() - before;
    instructions::tell("prescan_record_instructions", RUNS);
    Ok(("prescan_allocations", (in_pairs + in_records) as f64 / f64::from(2 * RUNS)))
}

fn walk(payload: &[u8]) -> Outcome<()> {
    for _ in 0..RUNS {
        instructions::counted(|| black_box(prescan(black_box(payload))))?;
    }
    Ok(())
}

/// A list of one map of 20 fields, about 1 KiB: texts and numbers in turn.
fn record() -> Vec<u8> {
    let mut payload = vec![0x91, 0xde, 0, 20];
    for field in 0..20 {
        payload.push(0xa8);
        payload.extend(b"field_no");
        if field % 2 == 0 {
            payload.extend([0xd9, 72]);
            payload.extend([b'x'; 72]);
        } else {
            payload.push(0xcb);
            payload.extend([0x40, 0x09, 0x21, 0xfb, 0x54, 0x44, 0x2d, field]);
        }
    }
    payload
}
