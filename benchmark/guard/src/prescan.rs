//! The walk over a payload before JavaScript sees it.

use crate::{Figure, Outcome, allocations, reference, time};
use daffi_protocol::prescan::prescan;
use std::hint::black_box;

/// What the reference reads beside a small payload.
const BYTES_FOR_PAIR: [u8; 32] = [7; 32];
/// What it reads beside the record, whose texts the walk skips.
const BYTES_FOR_RECORD: [u8; 256] = [7; 256];
const RUNS: u32 = 1000;

/// The figures of the pre-scan.
pub fn figures() -> Outcome<Vec<Figure>> {
    let (pair, record) = ([0x92, 1, 2], record());
    prescan(&record)?;
    let before = allocations::count();
    for _ in 0..RUNS {
        black_box(prescan(black_box(&record)))?;
    }
    let allocated = allocations::count() - before;
    let ratio = |payload: &[u8], bytes: &[u8]| {
        let walk = || {
            let _ = black_box(prescan(black_box(payload)));
        };
        time::ratio(walk, || reference::hash(bytes))
    };
    Ok(vec![
        ("prescan_allocations", allocated as f64 / f64::from(RUNS)),
        ("prescan_pair_ratio", ratio(&pair, &BYTES_FOR_PAIR)),
        ("prescan_record_ratio", ratio(&record, &BYTES_FOR_RECORD)),
    ])
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
