//! W5: calls that go to every worker, with all their answers.

use crate::Outcome;
use crate::frame::{ADD, EVERYONE, Header, REQUEST};
use crate::reader::Reader;
use crate::socket::Socket;

/// Calls under way: how many, and to how many workers.
pub struct Plan {
    /// Broadcasts that wait for answers at any time.
    pub outstanding: usize,
    /// Broadcasts in all.
    pub calls: usize,
    /// Workers that answer each.
    pub workers: usize,
    /// Which of the works so far it is: answers to an older one are wrong.
    pub generation: u32,
}

/// Broadcasts `add(1, 2)`, which the broker gives to every worker. Every worker must answer each, once and rightly.
pub async fn add_everywhere(socket: &Socket, reader: &mut Reader, plan: &Plan) -> Outcome<()> {
    let &Plan { outstanding, calls, workers, generation } = plan;
    let body = [0x92, 1, 2];
    let request = Header { body_len: 3, kind: REQUEST, flags: 0, node: EVERYONE, slot: 0, generation, callback: ADD };
    let mut output = Vec::new();
    let (mut sent, mut done, mut wrong) = (outstanding.min(calls), 0, 0);
    // For each slot a bit for each node that has answered.
    let mut answered = vec![0_u64; sent];
    for slot in 0..sent {
        Header { slot: u32::try_from(slot)?, ..request }.append(&body, &mut output);
    }
    socket.write(&output).await?;
    while done < calls {
        output.clear();
        reader
            .batch(socket, |header, answer| {
                let node = 1_u64.checked_shl(header.node).unwrap_or(0);
                let Some(nodes) = answered.get_mut(header.slot as usize) else {
                    wrong += 1;
                    return;
                };
                let expected = answer == [3] && header.generation == generation && node != 0 && *nodes & node == 0;
                wrong += usize::from(!expected);
                *nodes |= node;
                if nodes.count_ones() as usize == workers {
                    *nodes = 0;
                    done += 1;
                    if sent < calls {
                        sent += 1;
                        Header { slot: header.slot, ..request }.append(&body, &mut output);
                    }
                }
            })
            .await?;
        if wrong > 0 {
            return Err(format!("{wrong} wrong answers").into());
        }
        socket.write(&output).await?;
    }
    Ok(())
}
