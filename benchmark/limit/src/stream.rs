//! W4: a worker streams integers to the caller, each a frame of its own.

use std::mem;

use tokio::sync::mpsc;

use crate::Outcome;
use crate::frame::{HEADER_BYTES, Header, ITEM, RANGE, REQUEST, answer};
use crate::integer::{decode, encode};
use crate::reader::Reader;
use crate::socket::Socket;

/// Items that go out in one write.
const BATCH_BYTES: usize = 64 * 1024;
/// The longest frame of an item.
const ITEM_BYTES: usize = HEADER_BYTES + 8;

/// Asks for the integers below `count` and checks that all come, in order.
pub async fn receive(socket: &Socket, reader: &mut Reader, count: usize) -> Outcome<()> {
    let count = u32::try_from(count)?;
    let argument = encode(count);
    let mut body = vec![0x91];
    body.extend_from_slice(argument.bytes());
    let body_len = u32::try_from(body.len())?;
    let mut output = Vec::new();
    Header { body_len, kind: REQUEST, flags: 0, node: 0, slot: 0, generation: 0, callback: RANGE }
        .append(&body, &mut output);
    socket.write(&output).await?;
    let (mut next, mut wrong, mut ended) = (0, 0, false);
    while !ended {
        reader
            .batch(socket, |header, body| {
                if header.kind == ITEM {
                    wrong += u32::from(decode(body) != Some(next));
                    next += 1;
                } else {
                    ended = true;
                }
            })
            .await?;
    }
    if (next, wrong) == (count, 0) { Ok(()) } else { Err(format!("{next} items of {count}, {wrong} wrong").into()) }
}

/// How many items a request wants.
pub fn requested(body: &[u8]) -> u32 {
    body.split_first().and_then(|(_, argument)| decode(argument)).unwrap_or(0)
}

/// Sends `count` items and the answer that ends them; waits whenever `batches` is full.
pub async fn send(request: Header, count: u32, batches: mpsc::Sender<Vec<u8>>) {
    let mut batch = Vec::with_capacity(BATCH_BYTES + ITEM_BYTES);
    for item in 0..count {
        let value = encode(item);
        let body = value.bytes();
        Header { kind: ITEM, ..answer(&request, body.len() as u32) }.append(body, &mut batch);
        if batch.len() >= BATCH_BYTES {
            let full = mem::replace(&mut batch, Vec::with_capacity(BATCH_BYTES + ITEM_BYTES));
            if batches.send(full).await.is_err() {
                return;
            }
        }
    }
    answer(&request, 0).append(&[], &mut batch);
    // Who reads the batches is gone only when the connection is.
    let _ = batches.send(batch).await;
}
