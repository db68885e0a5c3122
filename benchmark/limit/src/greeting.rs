//! How a connection begins: a node says what it is, the broker welcomes it.

use crate::Outcome;
use crate::frame::Header;
use crate::reader::Reader;
use crate::socket::Socket;

/// Says hello or registers, and waits for the welcome; returns the number of workers that the broker knows.
pub async fn greet(socket: &Socket, reader: &mut Reader, kind: u8) -> Outcome<usize> {
    say(socket, kind).await?;
    welcomed(socket, reader).await
}

/// Says hello or registers.
pub async fn say(socket: &Socket, kind: u8) -> Outcome<()> {
    let mut frame = Vec::new();
    Header { body_len: 0, kind, flags: 0, node: 0, slot: 0, generation: 0, callback: 0 }.append(&[], &mut frame);
    Ok(socket.write(&frame).await?)
}

/// Waits for the welcome, before which nothing else comes.
pub async fn welcomed(socket: &Socket, reader: &mut Reader) -> Outcome<usize> {
    let mut workers = None;
    loop {
        reader.batch(socket, |header, _| workers = Some(header.slot)).await?;
        if let Some(workers) = workers {
            return Ok(workers as usize);
        }
    }
}
