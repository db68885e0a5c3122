//! W8: connections that stay idle.

use crate::Outcome;
use crate::frame::HELLO;
use crate::greeting::{say, welcomed};
use crate::reader::Reader;
use crate::socket::{Address, BACKLOG, Socket};

/// Connections that are opened before the first of them is waited for: fewer than may wait to be accepted.
const WAVE: usize = BACKLOG as usize / 4;

/// Opens `count` connections; each has been welcomed. `reader` is lent to one after the other.
pub async fn open(address: &Address, reader: &mut Reader, count: usize) -> Outcome<Vec<Socket>> {
    let mut sockets = Vec::with_capacity(count);
    while sockets.len() < count {
        let first = sockets.len();
        for _ in first..count.min(first + WAVE) {
            let socket = Socket::connect(address)?;
            say(&socket, HELLO).await?;
            sockets.push(socket);
        }
        for socket in sockets.iter().skip(first) {
            welcomed(socket, reader).await?;
        }
    }
    Ok(sockets)
}
