//! The first frames of a connection, both sides: each proves to the other what it holds.
//!
//! Node: preamble, `Hello`. Controller: `Challenge`. Node: `Proof`. Controller: `Welcome`, or
//! `Refused` at any step. Nothing about nodes or callbacks is told before the proof holds.

mod reader;
mod refusals;

use crate::auth::{INSTANCE_BYTES, NONCE_BYTES, Secret, random};
use crate::error::CoreError;
use crate::tls::HANDSHAKE_RECORD;
use crate::transport::Stream;
use daffi_protocol::control::{self, Challenge, Hello, Proof, Welcome};
use daffi_protocol::limits::{MAX_FRAME_BODY_BYTES, MAX_HANDSHAKE_BODY_BYTES};
use daffi_protocol::{ErrorCode, Kind, PREAMBLE, VERSION};
use reader::{FrameReader, body_of};
pub(crate) use refusals::decode_error;
use refusals::{broken, timed_out, unreadable, unwritable, version_mismatch, wrong_method, wrong_name, wrong_proof};
use std::time::Duration;

/// What a node says of itself and proves with.
#[derive(Clone, Debug)]
pub struct ClientCredentials {
    /// The name other nodes will know it by.
    pub name: String,
    /// Random once per node: the same instance may take its name back.
    pub instance: [u8; INSTANCE_BYTES],
    /// What the controller must hold too.
    pub secret: Secret,
    /// It can take payloads as memory.
    pub memory: bool,
}

/// A peer whose proof holds, not welcomed yet.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The name it asks for, valid by its form.
    pub name: String,
    /// Its instance.
    pub instance: [u8; INSTANCE_BYTES],
    /// Its process, as it says.
    pub pid: u32,
    /// It can take payloads as memory.
    pub memory: bool,
    /// What it chose at random.
    pub client_nonce: [u8; NONCE_BYTES],
    /// What goes into `Welcome::proof`.
    pub controller_proof: Vec<u8>,
}

/// Shakes hands as a node.
///
/// Gives the welcome, the same as the raw frame, and the bytes that were read behind it.
///
/// # Errors
///
/// The code with which the controller refused; `Unauthorized` when it asks for another method than
/// ours or its proof does not hold; `HandshakeTimeout`; `ConnectionLost`; `Protocol`. Close the
/// connection.
pub async fn client(
    stream: &Stream,
    credentials: ClientCredentials,
    timeout: Duration,
) -> Result<(Welcome, Vec<u8>, Vec<u8>), CoreError> {
    let shake = async {
        let fits = match credentials.secret {
            Secret::Peer => matches!(stream, Stream::Unix(_)),
            Secret::Certificate => matches!(stream, Stream::Tls(_)),
            Secret::Cookie(_) | Secret::Token(_) | Secret::Tokens(_) => true,
        };
        if !fits {
            return Err(CoreError::new(ErrorCode::Unauthorized, "TCP needs a cookie, a token, or certificates."));
        }
        stream.secure().await?;
        shake_as_client(stream, &credentials).await
    };
    tokio::time::timeout(timeout, shake).await.unwrap_or_else(|_| Err(timed_out("controller", timeout)))
}

/// Shakes hands as a controller, up to the proof. Refuses by itself when that fails.
///
/// # Errors
///
/// Why the peer was refused; it has been told, unless it never spoke our language. Close the
/// connection.
pub async fn server(
    stream: &Stream,
    secret: &Secret,
    timeout: Duration,
    guesses: &impl Guesses,
) -> Result<Accepted, CoreError> {
    let mut reader = FrameReader::new(stream);
    let shake = async {
        stream.secure().await?;
        reader.is_secured = true;
        shake_as_server(&mut reader, secret, guesses).await
    };
    let shaken = tokio::time::timeout(timeout, shake).await;
    let result = shaken.unwrap_or_else(|_| Err(timed_out("node", timeout)));
    if result.as_ref().is_err_and(|error| error.code == ErrorCode::Unauthorized) {
        guesses.failed();
    }
    if let Err(error) = &result
        && !reader.is_secured
    {
        refuse_unsecured(stream, error).await;
        return result;
    }
    if result.is_err() && matches!(stream, Stream::Tcp(_)) && reader.buffer.first() == Some(&HANDSHAKE_RECORD) {
        let _ = stream.try_write(&NO_TLS_ALERT);
    }
    if let Err(error) = &result
        && reader.is_daffi
    {
        if error.code == ErrorCode::Unauthorized {
            // Guessing is slowed down (RELIABILITY S11); the peer keeps counting as unauthenticated.
            let [jitter] = random::<1>()?;
            tokio::time::sleep(Duration::from_millis(100 + u64::from(jitter) * 100 / 256)).await;
        }
        refuse(stream, error).await;
    }
    result
}

/// Tells the peer why it is closed, and waits a moment for it to hear that.
pub async fn refuse(stream: &Stream, error: &CoreError) {
    // A few hundred bytes fit into a socket that carried next to nothing.
    if stream.try_write(&error.refusal()).is_err() || stream.shutdown(std::net::Shutdown::Write).is_err() {
        return;
    }
    // Closing while bytes are unread would reset the connection and lose the refusal.
    let listen = async {
        let mut waste = [0; 1024];
        for _ in 0..MAX_WASTE_READS {
            if !matches!(stream.read(&mut waste).await, Ok(1..)) {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(REFUSAL_LINGER, listen).await;
}

/// Closes a connection that never came to TLS, or whose certificate does not do. A node that begins in the clear is
/// told so in the clear, or it would try again and again.
async fn refuse_unsecured(stream: &Stream, error: &CoreError) {
    if stream.first_byte() == PREAMBLE.first().copied() {
        stream.try_write_plain(&CoreError::new(ErrorCode::Unauthorized, error.message.as_str()).refusal());
    }
    if stream.shutdown(std::net::Shutdown::Write).is_ok() {
        let _ = tokio::time::timeout(REFUSAL_LINGER, stream.linger()).await;
    }
}

/// How many wrong proofs are looked at, for one who may be guessing.
pub trait Guesses {
    /// How long to wait before the next proof is looked at; zero for now.
    fn hold(&self) -> Duration;
    /// A proof or a certificate did not hold.
    fn failed(&self);
}

/// As many as come.
impl Guesses for () {
    fn hold(&self) -> Duration {
        Duration::ZERO
    }

    fn failed(&self) {}
}

async fn shake_as_client(
    stream: &Stream,
    credentials: &ClientCredentials,
) -> Result<(Welcome, Vec<u8>, Vec<u8>), CoreError> {
    let secret = &credentials.secret;
    let nonce: [u8; NONCE_BYTES] = random()?;
    let hello = Hello { version: VERSION, role: "node".into(), nonce: nonce.to_vec() };
    let mut first = PREAMBLE.to_vec();
    first.extend(control::frame(Kind::Hello, &hello).map_err(unwritable)?);
    let mut reader = FrameReader::new(stream);
    reader.send(&first).await?;

    let (header, raw) = reader.frame(MAX_HANDSHAKE_BODY_BYTES).await?;
    let challenge: Challenge = control::parse(body_of(header, &raw, Kind::Challenge)?).map_err(unreadable)?;
    if challenge.version != VERSION {
        return Err(version_mismatch(challenge.version));
    }
    if challenge.method != secret.method() {
        return Err(wrong_method(&challenge.method, secret));
    }
    if challenge.nonce.len() != NONCE_BYTES {
        return Err(broken("a challenge without a nonce of 32 bytes"));
    }
    let proof = Proof {
        proof: secret.node_proof(&challenge.nonce, &nonce, &credentials.name, &credentials.instance),
        name: credentials.name.clone(),
        instance: credentials.instance.to_vec(),
        pid: std::process::id(),
        memory: credentials.memory,
    };
    reader.send(&control::frame(Kind::Proof, &proof).map_err(unwritable)?).await?;

    let (header, raw) = reader.frame(MAX_FRAME_BODY_BYTES).await?;
    let welcome: Welcome = control::parse(body_of(header, &raw, Kind::Welcome)?).map_err(unreadable)?;
    if !secret.is_controller_proof(&welcome.proof, &nonce, &challenge.nonce) {
        return Err(CoreError::new(
            ErrorCode::Unauthorized,
            "The controller cannot prove that it holds our secret. Another program may have taken its address.",
        ));
    }
    Ok((welcome, raw, reader.buffer))
}

async fn shake_as_server(
    reader: &mut FrameReader<'_>,
    secret: &Secret,
    guesses: &impl Guesses,
) -> Result<Accepted, CoreError> {
    reader.preamble().await?;
    let (header, raw) = reader.frame(MAX_HANDSHAKE_BODY_BYTES).await?;
    let hello: Hello = control::parse(body_of(header, &raw, Kind::Hello)?).map_err(unreadable)?;
    if hello.version != VERSION {
        return Err(version_mismatch(hello.version));
    }
    if hello.role != "node" {
        return Err(broken("a role that this version does not know"));
    }
    let client_nonce: [u8; NONCE_BYTES] =
        hello.nonce.try_into().map_err(|_| broken("a hello without a nonce of 32 bytes"))?;
    let nonce: [u8; NONCE_BYTES] = random()?;
    let challenge = Challenge { version: VERSION, method: secret.method().into(), nonce: nonce.to_vec() };
    reader.send(&control::frame(Kind::Challenge, &challenge).map_err(unwritable)?).await?;

    let (header, raw) = reader.frame(MAX_HANDSHAKE_BODY_BYTES).await?;
    let proof: Proof = control::parse(body_of(header, &raw, Kind::Proof)?).map_err(unreadable)?;
    let secret = secret.of(&proof.name);
    // Here and not before the handshake: of many that come together each has to wait for those before it.
    loop {
        let wait = guesses.hold();
        if wait.is_zero() {
            break;
        }
        tokio::time::sleep(wait).await;
    }
    if !secret.is_node_proof(&proof.proof, &nonce, &client_nonce, &proof.name, &proof.instance) {
        return Err(CoreError::new(ErrorCode::Unauthorized, wrong_proof(secret)));
    }
    // The name is what the others know a node by, so it is what its certificate has to be for.
    if let Some(names) = reader.stream.peer_names()
        && !names.contains(&proof.name)
    {
        return Err(wrong_name(&proof.name, &names));
    }
    let instance = proof.instance.try_into().map_err(|_| broken("an instance that has not 16 bytes"))?;
    if !control::is_valid_name(&proof.name) {
        return Err(CoreError::new(
            ErrorCode::InvalidName,
            "The name of the node must have 1 to 128 bytes, no control characters, and not be __proto__.",
        ));
    }
    if !reader.buffer.is_empty() {
        return Err(broken("bytes before the welcome"));
    }
    let controller_proof = secret.controller_proof(&client_nonce, &nonce);
    Ok(Accepted { name: proof.name, instance, pid: proof.pid, memory: proof.memory, client_nonce, controller_proof })
}

/// How TLS is told that there is none: a fatal alert, `protocol_version`.
const NO_TLS_ALERT: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 70];
/// How long a refused peer may take to read why.
const REFUSAL_LINGER: Duration = Duration::from_millis(250);
/// Bounds what is read and thrown away of a refused peer, in reads of 1 KiB.
const MAX_WASTE_READS: usize = 64;

#[cfg(test)]
mod tests {
    use super::reader::VERSION_AT;
    use super::*;
    use daffi_protocol::Header;
    use daffi_protocol::control::RegistryChange;

    fn pair() -> (Stream, Stream) {
        let (left, right) = Stream::pair().unwrap();
        (Stream::from_unix_fd(left).unwrap(), Stream::from_unix_fd(right).unwrap())
    }

    fn credentials(secret: Secret) -> ClientCredentials {
        ClientCredentials { name: "alice".into(), instance: [5; 16], secret, memory: false }
    }

    fn welcome(accepted: &Accepted) -> Welcome {
        Welcome {
            proof: accepted.controller_proof.clone(),
            node: 7,
            controller: String::new(),
            max_payload: 1,
            heartbeat_ms: 5000,
            dead_ms: 15000,
            local: true,
            grant: None,
            registry: RegistryChange::default(),
        }
    }

    async fn serve(stream: &Stream, secret: Secret) -> Result<Accepted, CoreError> {
        let accepted = server(stream, &secret, LONG, &()).await?;
        let mut bytes = control::frame(Kind::Welcome, &welcome(&accepted)).map_err(unwritable)?;
        bytes.extend(Header::new(Kind::Ping).frame(&[]));
        stream.write_all(&bytes).await?;
        Ok(accepted)
    }

    const LONG: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn both_sides_agree_with_every_method_and_bytes_behind_the_welcome_are_kept() {
        for secret in [Secret::Peer, Secret::Cookie([9; 32]), Secret::Token("t".into())] {
            let (near, far) = pair();
            let (node, controller) =
                tokio::join!(client(&near, credentials(secret.clone()), LONG), serve(&far, secret));
            let (welcome, raw, mut behind) = node.unwrap();
            assert_eq!(controller.unwrap().name, "alice");
            assert_eq!(welcome.node, 7);
            assert_eq!(Header::decode(&raw).unwrap().unwrap().frame_len(), raw.len());
            if behind.is_empty() {
                behind.resize(24, 0);
                near.read(&mut behind).await.unwrap();
            }
            assert_eq!(Header::decode(&behind).unwrap().unwrap().kind, Kind::Ping);
        }
    }

    #[tokio::test]
    async fn what_is_read_into_is_no_part_of_the_task() {
        let (near, _far) = pair();
        let mut reader = FrameReader::new(&near);
        let read = reader.frame(MAX_FRAME_BODY_BYTES);
        assert!(size_of_val(&read) < 1024, "{} bytes are held while it waits", size_of_val(&read));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wrong_secret_is_unauthorized_at_both_ends() {
        let (near, far) = pair();
        let node = credentials(Secret::Token("right".into()));
        let (node, controller) = tokio::join!(client(&near, node, LONG), serve(&far, Secret::Token("left".into())));
        assert_eq!(controller.unwrap_err().code, ErrorCode::Unauthorized);
        assert_eq!(node.unwrap_err().code, ErrorCode::Unauthorized);
    }

    #[tokio::test]
    async fn a_node_with_a_secret_is_not_talked_down_to_a_weaker_method() {
        for (ours, theirs) in [
            (Secret::Cookie([1; 32]), Secret::Peer),
            (Secret::Token("t".into()), Secret::Peer),
            (Secret::Token("t".into()), Secret::Cookie([1; 32])),
            (Secret::Peer, Secret::Token("t".into())),
        ] {
            let (near, far) = pair();
            let node = async {
                let result = client(&near, credentials(ours), LONG).await;
                near.shutdown(std::net::Shutdown::Both).unwrap();
                result
            };
            let (node, controller) = tokio::join!(node, serve(&far, theirs));
            assert_eq!(node.unwrap_err().code, ErrorCode::Unauthorized);
            assert_eq!(controller.unwrap_err().code, ErrorCode::ConnectionLost);
        }
    }

    #[tokio::test]
    async fn a_squatter_that_cannot_prove_itself_is_refused_by_the_node() {
        let (near, far) = pair();
        let secret = Secret::Cookie([1; 32]);
        let squat = async {
            let mut accepted = server(&far, &secret, LONG, &()).await.unwrap();
            accepted.controller_proof = vec![0; 32];
            far.write_all(&control::frame(Kind::Welcome, &welcome(&accepted)).unwrap()).await.unwrap();
        };
        let (node, ()) = tokio::join!(client(&near, credentials(secret.clone()), LONG), squat);
        assert_eq!(node.unwrap_err().code, ErrorCode::Unauthorized);
    }

    #[tokio::test]
    async fn a_text_protocol_is_closed_at_its_first_byte_and_told_nothing() {
        for first in [&b"GET / HTTP/1.1\r\n"[..], &[0x16, 3, 1], b"SSH-2.0", &[0], &[0xDA, b'x']] {
            let (near, far) = pair();
            near.write_all(first).await.unwrap();
            let error = server(&far, &Secret::Peer, Duration::from_secs(3600), &()).await.unwrap_err();
            assert_eq!(error.code, ErrorCode::Protocol);
            drop(far);
            assert_eq!(near.read(&mut [0; 16]).await.unwrap_or(0), 0);
        }
    }

    #[tokio::test]
    async fn another_version_is_told_so() {
        let (near, far) = pair();
        let mut preamble = PREAMBLE;
        preamble[VERSION_AT] = 2;
        near.write_all(&preamble).await.unwrap();
        let peer = async {
            let mut reader = FrameReader::new(&near);
            let (header, raw) = reader.frame(MAX_HANDSHAKE_BODY_BYTES).await.unwrap();
            let error = body_of(header, &raw, Kind::Challenge).unwrap_err();
            near.shutdown(std::net::Shutdown::Both).unwrap();
            error
        };
        let (told, error) = tokio::join!(peer, server(&far, &Secret::Peer, LONG, &()));
        assert_eq!(told.code, ErrorCode::VersionMismatch);
        assert_eq!(error.unwrap_err().code, ErrorCode::VersionMismatch);
    }

    #[tokio::test]
    async fn a_frame_over_the_limit_of_the_handshake_is_refused_by_its_header() {
        for length in [MAX_HANDSHAKE_BODY_BYTES + 1, u32::MAX] {
            let (near, far) = pair();
            let mut bytes = PREAMBLE.to_vec();
            bytes.extend(Header { body_len: length, ..Header::new(Kind::Hello) }.encode());
            near.write_all(&bytes).await.unwrap();
            near.shutdown(std::net::Shutdown::Write).unwrap();
            assert_eq!(server(&far, &Secret::Peer, LONG, &()).await.unwrap_err().code, ErrorCode::FrameTooLarge);
        }
    }

    #[tokio::test]
    async fn a_request_before_the_proof_is_refused() {
        let (near, far) = pair();
        let mut bytes = PREAMBLE.to_vec();
        bytes.extend(Header::new(Kind::Request).frame(&[]));
        near.write_all(&bytes).await.unwrap();
        near.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(server(&far, &Secret::Peer, LONG, &()).await.unwrap_err().code, ErrorCode::Protocol);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_at_the_deadline_at_both_ends() {
        let (near, far) = pair();
        assert_eq!(server(&far, &Secret::Peer, LONG, &()).await.unwrap_err().code, ErrorCode::HandshakeTimeout);
        let error = client(&near, credentials(Secret::Peer), LONG).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::HandshakeTimeout);
    }

    #[tokio::test]
    async fn a_bad_name_is_refused_with_its_code() {
        let (near, far) = pair();
        let node = ClientCredentials { name: "a\nb".into(), ..credentials(Secret::Peer) };
        let near_side = async {
            let result = client(&near, node, LONG).await;
            near.shutdown(std::net::Shutdown::Both).unwrap();
            result
        };
        let (node, controller) = tokio::join!(near_side, serve(&far, Secret::Peer));
        assert_eq!(node.unwrap_err().code, ErrorCode::InvalidName);
        assert_eq!(controller.unwrap_err().code, ErrorCode::InvalidName);
    }
}
