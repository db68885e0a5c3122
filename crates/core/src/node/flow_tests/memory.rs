//! Payloads that go as memory over a UNIX socket.

use super::*;

/// A payload of one attachment, and the extension that says so.
fn attached(length: usize, seed: u8) -> (Vec<u8>, Vec<u8>) {
    let mut body = vec![0xc0, 0, 0, 0, 0, 0, 0, 0];
    body.extend(payload(length - 8, seed));
    (extension::entry(extension::TAG_ATTACHMENTS, 1, &[(length - 8) as u64]), body)
}

#[test]
fn a_large_payload_goes_as_memory_and_as_that_again_when_it_is_back() {
    let mut pair = Pair::with_memory();
    for round in 0..20u8 {
        let (extension, body) = attached(if round % 2 == 0 { 3 << 20 } else { 8 << 20 }, round);
        let header = Header { flags: flags::ATTACHED, ..request(u32::from(round)) };
        pair.outbox.send_big(&pair.near, header, &extension, &[&body[..8], &body[8..]]).unwrap();
        pair.outbox.send(&pair.near, &request(100).frame(&[0xc0])).unwrap();
        assert_eq!(pair.outbox.queued(), 0, "none of its bytes is in a socket or waits for one");
        let seen = pair.run();
        assert_eq!(seen.iter().map(|frame| frame.slot).collect::<Vec<_>>(), [u32::from(round), 100]);
        assert!(seen[0].payload == body, "payload {round} differs");
        for number in pair.returned() {
            pair.outbox.take_back(number);
        }
        assert_eq!(pair.outbox.lent(), (0, 1 + usize::from(round > 0)), "one piece of memory for each size");
    }
}

#[test]
fn what_is_decoded_of_memory_is_copied_before_it_is_looked_at() {
    let mut pair = Pair::with_memory();
    let body = payload(1 << 20, 1);
    pair.outbox.send_big(&pair.near, request(1), &[], &[&body]).unwrap();
    let seen = pair.run();
    assert!(seen[0].payload == body);
    assert_eq!(pair.returned(), [1], "it was free before JavaScript took the payload");
    // An array whose end is missing; the same in front of an attachment.
    let broken = vec![0xdd; 1 << 20];
    pair.outbox.send_big(&pair.near, request(2), &[], &[&broken]).unwrap();
    let header = Header { flags: flags::ATTACHED, ..request(3) };
    let extension = extension::entry(extension::TAG_ATTACHMENTS, 4, &[(8 << 20) - 8]);
    pair.outbox.send_big(&pair.near, header, &extension, &[&broken.repeat(8)]).unwrap();
    assert_eq!(pair.run(), []);
    let refused: Vec<u32> = pair
        .inbox
        .replies
        .chunks(24)
        .map(|frame| Header::decode(frame).unwrap().unwrap())
        .filter(|header| header.kind == Kind::Response)
        .map(|header| header.callback)
        .collect();
    assert_eq!(refused, [ErrorCode::PayloadRejected as u32; 2]);
    assert_eq!(pair.returned(), [2, 3], "its owner has it back although nobody takes the payload");
}

#[test]
fn small_frames_pass_while_memory_is_copied_and_a_cancel_ends_that() {
    let mut pair = Pair::with_memory();
    pair.inbox = Inbox::new(Limits { max_payload: 9 << 20, ..LIMITS }, Vec::new(), Arc::default(), true);
    let body = payload(9 << 20, 1);
    for slot in [1, 2, 3] {
        pair.outbox.send_big(&pair.near, request(slot), &[], &[&body]).unwrap();
        pair.outbox.send(&pair.near, &request(slot + 100).frame(&[0xc0])).unwrap();
    }
    pair.outbox.send(&pair.near, &Header { slot: 2, generation: 1, ..Header::new(Kind::Cancel) }.encode()).unwrap();
    let mut seen = Vec::new();
    for pumps in 1.. {
        let pumped = pair.pump(&mut seen);
        if seen.iter().any(|frame| frame.slot == 1) {
            assert!(pumps >= 36, "a piece each time");
            break;
        }
        assert_eq!(pumped, Pumped::More, "it need not wait for the socket");
    }
    assert_eq!(seen.iter().map(|frame| frame.slot).collect::<Vec<_>>(), [101, 102, 103, 1]);
    seen.extend(pair.run());
    assert_eq!(seen.iter().map(|frame| frame.slot).collect::<Vec<_>>(), [101, 102, 103, 1, 3]);
    assert!(seen.iter().skip(3).all(|frame| frame.payload == body));
    let replies = pair.inbox.replies.clone();
    let refused = replies.chunks(24).map(|frame| Header::decode(frame).unwrap().unwrap());
    let refused: Vec<_> = refused.filter(|header| header.kind == Kind::Response).collect();
    assert_eq!(
        refused.iter().map(|header| (header.slot, header.callback)).collect::<Vec<_>>(),
        [(2, ErrorCode::Cancelled as u32)]
    );
    assert_eq!(pair.returned(), [1, 2, 3], "whoever wanted it");
    assert_eq!(pair.inbox.held(), (0, 0));
}

#[test]
fn what_cannot_go_as_memory_goes_in_pieces() {
    let mut pair = Pair::with_memory();
    // More than may be lent; the last ones also wait behind pieces.
    let bodies: Vec<_> = (0..72).map(|index| attached(1 << 20, index)).collect();
    for (index, (extension, body)) in bodies.iter().enumerate() {
        let header = Header { flags: flags::ATTACHED, ..request(index as u32) };
        pair.outbox.send_big(&pair.near, header, extension, &[body]).unwrap();
    }
    assert_eq!(pair.outbox.lent(), (64, 64));
    assert!(pair.outbox.queued() > 4 << 20);
    let mut seen = pair.run();
    seen.sort_by_key(|frame| frame.slot);
    assert_eq!(seen.len(), bodies.len());
    for (frame, (_, body)) in seen.iter().zip(&bodies) {
        assert!(frame.payload == *body, "payload {} differs", frame.slot);
    }
    assert_eq!(pair.returned().len(), 64);
    let mut silent = Pair::new();
    silent.outbox.send_big(&silent.near, request(1), &[], &[&payload(1 << 20, 1)]).unwrap();
    assert_eq!(silent.outbox.lent(), (0, 0), "nobody said that it takes memory");
}

#[test]
fn a_part_without_its_memory_ends_the_connection() {
    let part = Header { kind: Kind::RequestPart, flags: flags::LAST | flags::MEMORY, callback: 1, ..request(1) };
    for takes_memory in [true, false] {
        let mut pair = Pair::new();
        pair.inbox = Inbox::new(LIMITS, Vec::new(), Arc::default(), takes_memory);
        pair.outbox.send(&pair.near, &part.frame(&[])).unwrap();
        assert!(matches!(pair.pump(&mut Vec::new()), Pumped::Closed(ErrorCode::Protocol, _)));
    }
}

#[test]
fn memory_that_is_shorter_than_announced_is_refused_or_read_as_zeros() {
    let mut pair = Pair::with_memory();
    let memory = crate::memory::Memory::create().unwrap();
    memory.fill(&[&payload(200_000, 1)]).unwrap();
    let total = extension::entry(extension::TAG_TOTAL, 0, &[300_000]);
    let announced = Header { flags: flags::FRAGMENTED, ext_len: 16, ..request(1) };
    let part = Header { kind: Kind::RequestPart, flags: flags::LAST | flags::MEMORY, callback: 9, ..request(1) };
    let frames = [announced.frame(&total), part.frame(&[])].concat();
    assert_eq!(pair.near.try_write_memory(&frames, &memory).unwrap(), frames.len());
    assert_eq!(pair.run(), []);
    assert_eq!(pair.returned(), [9]);
    // Nobody waits for this one.
    let stray = Header { slot: 5, callback: 10, ..part };
    pair.near.try_write_memory(&stray.frame(&[]), &memory).unwrap();
    assert_eq!(pair.run(), []);
    assert_eq!(pair.returned(), [10]);
}
