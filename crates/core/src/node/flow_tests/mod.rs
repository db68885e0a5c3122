//! Outbox and inbox face to face over a socket pair, without runtime or threads.

mod memory;

use super::assembly::{Limits, Ready};
use super::inbox::{Inbox, PUMP_BYTES, Pumped, returned};
use super::outbox::{Flushed, Outbox, Pressed};
use super::spares::Spares;
use crate::socket::Socket;
use crate::transport::Stream;
use daffi_protocol::limits::BIG_PAYLOAD_BYTES;
use daffi_protocol::{ErrorCode, Header, Kind, control, extension, flags};
use proptest::prelude::*;
use std::sync::Arc;

/// What JavaScript sends whole, at most.
const SMALL_BYTES: usize = BIG_PAYLOAD_BYTES as usize;
const LIMITS: Limits = Limits { max_payload: 8 << 20, max_assembling: 64 << 20 };

struct Pair {
    near: Socket,
    far: Socket,
    outbox: Outbox,
    inbox: Inbox,
    buffer: Vec<u8>,
    /// Of the outbox.
    spares: Arc<Spares>,
}

/// A frame as JavaScript would see it, its payload taken.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    kind: Kind,
    slot: u32,
    callback: u32,
    payload: Vec<u8>,
}

impl Pair {
    /// Of which the far end takes memory, and has told so.
    fn with_memory() -> Self {
        let mut pair = Self::new();
        pair.inbox = Inbox::new(LIMITS, Vec::new(), Arc::default(), true);
        pair.outbox.take_back(0);
        pair
    }

    /// What the far end has given back since the last time.
    fn returned(&mut self) -> Vec<u32> {
        let replies = std::mem::take(&mut self.inbox.replies);
        let headers = replies.chunks(24).map(|frame| Header::decode(frame).unwrap().unwrap());
        headers.filter(|header| header.kind == Kind::Returned).map(|header| header.callback).collect()
    }

    fn new() -> Self {
        let (near, far) = Stream::pair().unwrap();
        let spares = Arc::<Spares>::default();
        Self {
            near: Socket::new(near),
            far: Socket::new(far),
            outbox: Outbox::new(1 << 20, Arc::clone(&spares)),
            inbox: Inbox::new(LIMITS, Vec::new(), Arc::default(), false),
            buffer: vec![0; PUMP_BYTES],
            spares,
        }
    }

    /// Pumps once; gives the frames and what the pump said.
    fn pump(&mut self, seen: &mut Vec<Seen>) -> Pumped {
        let mut filled = 0;
        let pumped = self.inbox.pump(&self.far, &mut self.buffer, &mut filled);
        let mut at = 0;
        while at < filled {
            let header = Header::decode(&self.buffer[at..filled]).unwrap().unwrap();
            let body = &self.buffer[at + 24..at + 24 + header.body_len as usize];
            let payload = &body[header.ext_len as usize..];
            let payload = if header.flags & flags::BIG == 0 {
                payload.to_vec()
            } else {
                match self.inbox.take_big(u32::from_le_bytes(payload.try_into().unwrap())) {
                    Some(Ready::Read(payload)) => payload.to_vec(),
                    Some(Ready::Lent(lent)) => {
                        let mut bytes = lent.head.clone();
                        bytes.resize(lent.total, 0);
                        lent.memory.read(&mut bytes[lent.head.len()..], lent.head.len() as u64).unwrap();
                        self.inbox.replies.extend(returned(lent.number));
                        bytes
                    }
                    None => panic!("no payload"),
                }
            };
            seen.push(Seen { kind: header.kind, slot: header.slot, callback: header.callback, payload });
            at += header.frame_len();
        }
        assert_eq!(at, filled);
        pumped
    }

    fn run(&mut self) -> Vec<Seen> {
        let mut seen = Vec::new();
        loop {
            let flushed = self.outbox.flush(&self.near).unwrap();
            if self.pump(&mut seen) == Pumped::Empty && flushed == Flushed::All {
                return seen;
            }
        }
    }
}

fn request(slot: u32) -> Header {
    Header { slot, generation: 1, callback: 7, ..Header::new(Kind::Request) }
}

/// A MessagePack byte string of `length` bytes in all, five of them its head.
fn payload(length: usize, seed: u8) -> Vec<u8> {
    let bytes = length.max(5) - 5;
    let mut payload = vec![0xc6];
    payload.extend(u32::try_from(bytes).unwrap().to_be_bytes());
    payload.extend((0..bytes).map(|at| (at as u8).wrapping_mul(31).wrapping_add(seed)));
    payload
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn everything_sent_arrives_once_and_small_frames_keep_their_order(
        lengths in prop::collection::vec(prop_oneof![5usize..40, 60usize..9000, SMALL_BYTES - 9..SMALL_BYTES, SMALL_BYTES + 1..2_000_000], 1..40),
        pumps in prop::collection::vec(any::<bool>(), 40),
    ) {
        let mut pair = Pair::new();
        let mut seen = Vec::new();
        for (index, length) in lengths.iter().enumerate() {
            let body = payload(*length, index as u8);
            let header = request(index as u32);
            if *length > SMALL_BYTES {
                // Cut anywhere: the pieces lie one behind the other.
                let (head, tail) = body.split_at(body.len() / 3);
                pair.outbox.send_big(&pair.near, header, &[], &[head, &[], tail]).unwrap();
            } else {
                pair.outbox.send(&pair.near, &header.frame(&body)).unwrap();
            }
            if pumps[index] {
                pair.pump(&mut seen);
            }
        }
        seen.extend(pair.run());
        let small: Vec<u32> = seen.iter().filter(|frame| frame.payload.len() <= SMALL_BYTES).map(|frame| frame.slot).collect();
        prop_assert!(small.is_sorted());
        prop_assert_eq!(seen.len(), lengths.len());
        seen.sort_by_key(|frame| frame.slot);
        for (index, (frame, length)) in seen.iter().zip(&lengths).enumerate() {
            prop_assert_eq!(frame.slot as usize, index);
            prop_assert!(frame.payload == payload(*length, index as u8), "payload {} differs", index);
        }
        prop_assert_eq!(pair.outbox.queued(), 0);
    }
}

/// A frame on the wire, or one payload cut into several.
#[derive(Clone, Copy, Debug)]
enum Sent {
    Small(usize),
    /// In so many pieces, and whether it is sound MessagePack.
    Big(usize, usize, bool),
    /// A big one of which a cancel comes behind so many of its pieces.
    Cancelled(usize, usize),
    Ping,
}

fn sent() -> impl Strategy<Value = Sent> {
    prop_oneof![
        3 => (5usize..3000).prop_map(Sent::Small),
        2 => (SMALL_BYTES + 1..250_000, 1usize..6, prop::bool::weighted(0.8))
            .prop_map(|(length, pieces, is_sound)| Sent::Big(length, pieces, is_sound)),
        1 => (1usize..6, 0usize..6).prop_map(|(pieces, before)| Sent::Cancelled(pieces, before)),
        1 => Just(Sent::Ping),
    ]
}

/// The frames of one payload, as any writer may cut it.
fn pieces(slot: u32, body: &[u8], count: usize) -> Vec<Vec<u8>> {
    let entry = extension::entry(extension::TAG_TOTAL, 0, &[body.len() as u64]);
    let chunks: Vec<&[u8]> = body.chunks(body.len().div_ceil(count)).collect();
    let mut frames = Vec::new();
    for (at, chunk) in chunks.iter().enumerate() {
        let last = if at + 1 == chunks.len() { flags::LAST } else { 0 };
        let (kind, flags, extension) = match at {
            0 => (Kind::Request, flags::FRAGMENTED | last, &entry[..]),
            _ => (Kind::RequestPart, last, &[][..]),
        };
        let ext_len = u16::try_from(extension.len()).unwrap();
        frames.push(Header { kind, flags, ext_len, ..request(slot) }.frame(&[extension, chunk].concat()));
    }
    frames
}

/// Feeds `bytes`, cut behind each of `cuts`, and pumps in between; gives all that came and all that was replied.
fn fed(bytes: &[u8], cuts: &[usize]) -> (Vec<Seen>, Vec<u8>) {
    let mut pair = Pair::new();
    let mut seen = Vec::new();
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % bytes.len()).chain([bytes.len()]).collect();
    ends.sort_unstable();
    let mut start = 0;
    for end in ends {
        pair.outbox.send(&pair.near, &bytes[start..end]).unwrap();
        seen.extend(pair.run());
        start = end;
    }
    (seen, pair.inbox.replies)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn however_the_bytes_are_cut_the_same_frames_come_of_them(
        script in prop::collection::vec(sent(), 1..20),
        cuts in prop::collection::vec(any::<usize>(), 0..60),
    ) {
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for (slot, sent) in script.iter().enumerate() {
            let slot = slot as u32;
            match *sent {
                Sent::Small(length) => {
                    bytes.extend(request(slot).frame(&payload(length, slot as u8)));
                    expected.push((slot, vec![Kind::Request]));
                }
                Sent::Big(length, count, is_sound) => {
                    let mut body = payload(length, slot as u8);
                    body[0] = if is_sound { 0xc6 } else { 0xc1 };
                    bytes.extend(pieces(slot, &body, count).concat());
                    if is_sound {
                        expected.push((slot, vec![Kind::Request]));
                    }
                }
                Sent::Cancelled(count, before) => {
                    let frames = pieces(slot, &payload(200_000, slot as u8), count);
                    let before = before.clamp(1, frames.len());
                    bytes.extend(frames[..before].concat());
                    bytes.extend(Header { kind: Kind::Cancel, ..request(slot) }.encode());
                    if before == frames.len() {
                        expected.push((slot, vec![Kind::Request, Kind::Cancel]));
                    }
                }
                Sent::Ping => bytes.extend(Header::new(Kind::Ping).encode()),
            }
        }
        let (whole, replies) = fed(&bytes, &[]);
        let (cut, replies_of_cut) = fed(&bytes, &cuts);
        for seen in [&whole, &cut] {
            for (slot, kinds) in &expected {
                let of_slot: Vec<Kind> = seen.iter().filter(|seen| seen.slot == *slot).map(|seen| seen.kind).collect();
                prop_assert_eq!(&of_slot, kinds, "slot {}", slot);
            }
            prop_assert_eq!(seen.len(), expected.iter().map(|(_, kinds)| kinds.len()).sum::<usize>());
            let small = |seen: &&Seen| seen.payload.len() <= SMALL_BYTES && seen.kind == Kind::Request;
            prop_assert!(seen.iter().filter(small).map(|seen| seen.slot).is_sorted());
        }
        let payloads = |seen: &[Seen]| {
            let mut payloads: Vec<_> = seen.iter().map(|seen| (seen.slot, seen.payload.clone())).collect();
            payloads.sort();
            payloads
        };
        prop_assert!(payloads(&whole) == payloads(&cut), "payloads differ");
        prop_assert_eq!(replies, replies_of_cut);
    }

    #[test]
    fn however_little_the_socket_takes_the_same_bytes_leave(
        lengths in prop::collection::vec(prop_oneof![4 => 5usize..9000, 1 => SMALL_BYTES + 1..600_000], 1..20),
        reads in prop::collection::vec(1usize..30_000, 1..20),
    ) {
        let pair = Pair::new();
        let mut outbox = pair.outbox;
        socket2::SockRef::from(&std::os::fd::AsFd::as_fd(&Fd(&pair.near))).set_send_buffer_size(1).unwrap();
        let (mut got, mut small, mut bigs) = (Vec::new(), Vec::new(), std::collections::BTreeMap::new());
        let mut buffer = vec![0; 30_000];
        let mut reads = reads.into_iter().cycle();
        let mut read = |got: &mut Vec<u8>| {
            let room = &mut buffer[..reads.next().unwrap()];
            if let Ok(read) = pair.far.try_read(&mut [std::io::IoSliceMut::new(room)]) {
                got.extend_from_slice(&buffer[..read]);
            }
        };
        for (slot, length) in lengths.iter().enumerate() {
            let slot = slot as u32;
            let body = payload(*length, slot as u8);
            if *length > SMALL_BYTES {
                outbox.send_big(&pair.near, request(slot), &[], &[&body]).unwrap();
                bigs.insert(slot, body);
            } else {
                let frame = request(slot).frame(&body);
                outbox.send(&pair.near, &frame).unwrap();
                small.extend(frame);
            }
            read(&mut got);
        }
        while outbox.flush(&pair.near).unwrap() != Flushed::All {
            read(&mut got);
        }
        let mut before = usize::MAX;
        while got.len() != before {
            before = got.len();
            for _ in 0..32 {
                read(&mut got);
            }
        }
        let (mut seen_small, mut seen_bigs) = (Vec::new(), std::collections::BTreeMap::<u32, Vec<u8>>::new());
        let mut rest = &got[..];
        while let Some(header) = Header::decode(rest).unwrap() {
            let frame = &rest[..header.frame_len()];
            rest = &rest[header.frame_len()..];
            if bigs.contains_key(&header.slot) {
                let is_begun = seen_bigs.contains_key(&header.slot);
                prop_assert_eq!(header.kind, if is_begun { Kind::RequestPart } else { Kind::Request });
                let body = &frame[24 + usize::from(header.ext_len)..24 + header.body_len as usize];
                seen_bigs.entry(header.slot).or_default().extend_from_slice(body);
                let is_whole = seen_bigs[&header.slot].len() == bigs[&header.slot].len();
                prop_assert_eq!(header.flags & flags::LAST != 0, is_whole);
            } else {
                seen_small.extend_from_slice(frame);
            }
        }
        prop_assert!(rest.is_empty() && seen_small == small && seen_bigs == bigs, "the bytes differ");
        prop_assert_eq!((outbox.queued(), outbox.total_sent()), (0, got.len() as u64));
    }
}

/// The socket for whoever wants to set its options.
struct Fd<'a>(&'a Socket);

impl std::os::fd::AsFd for Fd<'_> {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        // SAFETY: the socket is open as long as it is borrowed.
        unsafe { std::os::fd::BorrowedFd::borrow_raw(std::os::fd::AsRawFd::as_raw_fd(self.0)) }
    }
}

#[test]
fn small_frames_pass_between_the_fragments_of_a_big_payload() {
    let mut pair = Pair::new();
    pair.outbox.send_big(&pair.near, request(1), &[], &[&payload(6 << 20, 1)]).unwrap();
    pair.outbox.send(&pair.near, &request(2).frame(&[0xc0])).unwrap();
    let order: Vec<u32> = pair.run().iter().map(|frame| frame.slot).collect();
    assert_eq!(order, [2, 1]);
}

#[test]
fn a_cancel_does_not_pass_the_beginning_of_its_request_however_much_waits() {
    let mut pair = Pair::new();
    for slot in 1..=3 {
        pair.outbox.send_big(&pair.near, request(slot), &[], &[&payload(4 << 20, 1)]).unwrap();
    }
    pair.outbox.send(&pair.near, &Header { kind: Kind::Cancel, ..request(3) }.encode()).unwrap();
    let seen: Vec<(Kind, u32)> = pair.run().iter().map(|frame| (frame.kind, frame.slot)).collect();
    assert_eq!(seen, [(Kind::Request, 1), (Kind::Request, 2)]);
    let answer = Header::decode(&pair.inbox.replies).unwrap().unwrap();
    assert_eq!((answer.kind, answer.slot, answer.callback), (Kind::Response, 3, ErrorCode::Cancelled as u32));
}

#[test]
fn a_payload_that_fails_the_prescan_is_answered_and_never_shown() {
    let mut pair = Pair::new();
    pair.outbox.send(&pair.near, &request(3).frame(&[0xdd, 1, 0xff, 0xff, 0xff])).unwrap();
    pair.outbox.send(&pair.near, &request(4).frame(&[0xc0])).unwrap();
    let seen = pair.run();
    assert_eq!(seen.iter().map(|frame| frame.slot).collect::<Vec<_>>(), [4]);
    let answer = Header::decode(&pair.inbox.replies).unwrap().unwrap();
    assert_eq!((answer.kind, answer.slot), (Kind::Response, 3));
    assert_eq!(answer.callback, ErrorCode::PayloadRejected as u32);
}

#[test]
fn a_big_payload_that_fails_the_prescan_is_answered_and_its_memory_given_back() {
    let mut pair = Pair::new();
    pair.outbox.send_big(&pair.near, request(3), &[], &[&vec![0x91; 1 << 20]]).unwrap();
    assert_eq!(pair.run(), []);
    let answer = Header::decode(&pair.inbox.replies).unwrap().unwrap();
    assert_eq!((answer.slot, answer.callback), (3, ErrorCode::PayloadRejected as u32));
}

#[test]
fn a_response_over_the_limit_reaches_its_caller_as_a_failure_and_the_rest_goes_on() {
    let mut pair = Pair::new();
    let header = Header { kind: Kind::Response, callback: 0, ..request(9) };
    pair.outbox.send_big(&pair.near, header, &[], &[&payload(9 << 20, 1)]).unwrap();
    pair.outbox.send(&pair.near, &request(2).frame(&[0xc0])).unwrap();
    let mut seen = pair.run();
    seen.sort_by_key(|frame| frame.slot);
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[1].callback, ErrorCode::PayloadTooLarge as u32);
}

#[test]
fn a_small_limit_holds_for_what_comes_whole_too() {
    let mut pair = Pair::new();
    pair.inbox = Inbox::new(Limits { max_payload: 100, ..LIMITS }, Vec::new(), Arc::default(), false);
    for (slot, kind, length) in
        [(1, Kind::Request, 101), (2, Kind::Request, 100), (3, Kind::Response, 101), (4, Kind::Response, 100)]
    {
        let header = Header { kind, callback: 0, ..request(slot) };
        pair.outbox.send(&pair.near, &header.frame(&payload(length, 1))).unwrap();
    }
    let seen: Vec<_> = pair.run().iter().map(|frame| (frame.slot, frame.callback, frame.payload.len())).collect();
    assert_eq!(seen, [(2, 0, 100), (4, 0, 100), (3, ErrorCode::PayloadTooLarge as u32, 0)]);
    let answer = Header::decode(&pair.inbox.replies).unwrap().unwrap();
    assert_eq!((answer.slot, answer.callback), (1, ErrorCode::PayloadTooLarge as u32));
}

#[test]
fn attachments_need_no_prescan_but_the_message_in_front_of_them_does() {
    for (message, sound) in [(&[0xc0][..], true), (&[0xc1][..], false)] {
        let mut pair = Pair::new();
        let raw = vec![0xc1; 100_000];
        let entry = extension::entry(extension::TAG_ATTACHMENTS, 1, &[raw.len() as u64]);
        let header = Header { flags: flags::ATTACHED, ..request(1) };
        pair.outbox.send_big(&pair.near, header, &entry, &[message, &[0; 7], &raw]).unwrap();
        let seen = pair.run();
        assert_eq!(seen.len(), usize::from(sound));
        assert_eq!(pair.inbox.replies.is_empty(), sound);
    }
}

#[test]
fn a_cancel_amid_the_pieces_of_its_request_drops_them_and_is_answered_in_place_of_javascript() {
    for no_reply in [0, flags::NO_REPLY] {
        let mut pair = Pair::new();
        let mut seen = Vec::new();
        let header = Header { flags: no_reply, ..request(1) };
        pair.outbox.send_big(&pair.near, header, &[], &[&payload(7 << 20, 1)]).unwrap();
        pair.pump(&mut seen);
        pair.outbox.send(&pair.near, &Header { kind: Kind::Cancel, ..request(1) }.encode()).unwrap();
        seen.extend(pair.run());
        assert_eq!(seen, []);
        let answer = Header::decode(&pair.inbox.replies).unwrap();
        let expected = (no_reply == 0).then_some((Kind::Response, 1, 1, ErrorCode::Cancelled as u32));
        assert_eq!(answer.map(|answer| (answer.kind, answer.slot, answer.generation, answer.callback)), expected);
    }
}

#[test]
fn a_cancel_that_comes_with_the_last_piece_of_its_request_is_seen_behind_it() {
    let mut pair = Pair::new();
    pair.outbox.send_big(&pair.near, request(1), &[], &[&payload(200_000, 1)]).unwrap();
    pair.outbox.send(&pair.near, &Header { kind: Kind::Cancel, ..request(1) }.encode()).unwrap();
    pair.outbox.send(&pair.near, &request(2).frame(&[0xc0])).unwrap();
    let seen: Vec<(Kind, u32)> = pair.run().iter().map(|frame| (frame.kind, frame.slot)).collect();
    assert_eq!(seen, [(Kind::Request, 2), (Kind::Request, 1), (Kind::Cancel, 1)]);
    assert!(pair.inbox.replies.is_empty());
}

#[test]
fn pings_are_answered_without_javascript_and_a_flood_earns_no_flood() {
    let mut pair = Pair::new();
    let flood = Header::new(Kind::Ping).encode().repeat(1000);
    pair.outbox.send(&pair.near, &flood).unwrap();
    assert_eq!(pair.run(), []);
    assert!(pair.inbox.replies.len() >= 24 && pair.inbox.replies.len() <= 4096 + 24);
}

#[test]
fn the_end_of_the_stream_carries_the_reason_the_controller_gave() {
    let Pair { near, far, mut inbox, mut outbox, mut buffer, .. } = Pair::new();
    let refused = control::Refused { code: ErrorCode::SlowConsumer as u32, message: "too slow".into() };
    outbox.send(&near, &control::frame(Kind::Refused, &refused).unwrap()).unwrap();
    drop(near);
    let mut filled = 0;
    assert_eq!(inbox.pump(&far, &mut buffer, &mut filled), Pumped::Empty);
    assert_eq!(inbox.pump(&far, &mut buffer, &mut filled), Pumped::Closed(ErrorCode::SlowConsumer, "too slow".into()));
}

#[test]
fn a_length_over_the_limit_closes_before_anything_is_reserved() {
    let mut pair = Pair::new();
    let mut frame = request(1).encode();
    frame[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    pair.outbox.send(&pair.near, &frame).unwrap();
    let mut seen = Vec::new();
    assert!(matches!(pair.pump(&mut seen), Pumped::Closed(ErrorCode::FrameTooLarge, _)));
}

#[test]
fn each_lane_presses_above_its_soft_limit_and_tells_once_when_there_is_room() {
    let mut pair = Pair::new();
    let (small, big) = (Pressed { small: true, big: false }, Pressed { small: false, big: true });
    pair.outbox.send_big(&pair.near, request(1), &[], &[&payload(6 << 20, 1)]).unwrap();
    assert_eq!(pair.outbox.pressed(), big, "small frames do not wait for a big payload");
    let mut rooms = Vec::new();
    let mut seen = Vec::new();
    let mut flush = |pair: &mut Pair, rooms: &mut Vec<Pressed>| {
        while pair.outbox.flush(&pair.near).unwrap() != Flushed::All {
            rooms.push(pair.outbox.take_room());
            pair.pump(&mut seen);
        }
        rooms.push(pair.outbox.take_room());
        rooms.retain(|room| *room != Pressed::default());
    };
    flush(&mut pair, &mut rooms);
    assert_eq!((rooms.as_slice(), pair.outbox.pressed()), ([big].as_slice(), Pressed::default()));
    for _ in 0..6000 {
        pair.outbox.send(&pair.near, &request(1).frame(&payload(1 << 10, 1))).unwrap();
    }
    assert_eq!(pair.outbox.pressed(), small, "big payloads do not wait for small frames");
    flush(&mut pair, &mut rooms);
    assert_eq!((rooms.as_slice(), pair.outbox.pressed()), ([big, small].as_slice(), Pressed::default()));
    assert_eq!(pair.outbox.queued(), 0);
}

#[test]
fn memory_of_a_big_payload_serves_the_next_and_is_let_go_when_none_comes() {
    let mut pair = Pair::new();
    let mut seen = Vec::new();
    let mut send = |pair: &mut Pair, bytes: usize| {
        pair.outbox.send_big(&pair.near, request(1), &[], &[&payload(bytes, 1)]).unwrap();
        while pair.outbox.flush(&pair.near).unwrap() != Flushed::All {
            pair.pump(&mut seen);
        }
        pair.spares.kept_bytes()
    };
    assert_eq!(send(&mut pair, 6 << 20), 6 << 20);
    assert_eq!(send(&mut pair, 6 << 20), 6 << 20);
    pair.spares.let_go();
    assert_eq!(pair.spares.kept_bytes(), 6 << 20, "it was used since the last tick");
    assert_eq!(send(&mut pair, 3 << 20), 9 << 20, "a smaller one does not use it");
    pair.spares.let_go();
    assert_eq!(pair.spares.kept_bytes(), 3 << 20);
    pair.spares.let_go();
    assert_eq!(pair.spares.kept_bytes(), 0);
}

#[test]
fn an_answer_that_ends_amid_its_pieces_leaves_nothing_behind() {
    let mut pair = Pair::new();
    let response = Header { callback: 0, kind: Kind::Response, ..request(1) };
    let total = extension::entry(extension::TAG_TOTAL, 0, &[8 << 20]);
    for generation in 1..=20 {
        let begun = Header { generation, flags: flags::FRAGMENTED, ext_len: 16, ..response };
        pair.outbox.send(&pair.near, &begun.frame(&[&total[..], &[0xc6; 1000]].concat())).unwrap();
        assert_eq!(pair.run(), []);
        assert_eq!(pair.inbox.held(), (1, 8 << 20));
        let lost = Header { generation, callback: ErrorCode::NodeLost as u32, ..response };
        pair.outbox.send(&pair.near, &lost.frame(&[])).unwrap();
        assert_eq!(pair.run().len(), 1);
        assert_eq!(pair.inbox.held(), (0, 0));
    }
}
