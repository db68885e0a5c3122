//! The control messages: MessagePack maps with the field names as keys, by `rmp-serde`.
//!
//! A reader ignores fields it does not know, so a later version may add some.

use crate::codec::Header;
use crate::kind::Kind;
use crate::limits::MAX_NAME_BYTES;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// What a connecting side says first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`crate::VERSION`] of the sender.
    pub version: u8,
    /// `"node"`; other roles may come.
    pub role: String,
    /// 32 random bytes that the controller's proof must cover.
    #[serde(with = "serde_bytes")]
    pub nonce: Vec<u8>,
}

/// The controller's half of the mutual proof: what the node has to prove against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// [`crate::VERSION`] of the controller.
    pub version: u8,
    /// `"peer"` on a UNIX socket, where the kernel vouches for the user; `"cookie"` on loopback.
    pub method: String,
    /// 32 random bytes that the node's proof must cover.
    #[serde(with = "serde_bytes")]
    pub nonce: Vec<u8>,
}

/// The node's proof, and what it wants to be called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// HMAC-SHA256 as told in `docs/protocol.md`; empty where the method needs none.
    #[serde(with = "serde_bytes")]
    pub proof: Vec<u8>,
    /// The name other nodes know it by.
    pub name: String,
    /// 16 random bytes of this process's node: the same instance may take its name back.
    #[serde(with = "serde_bytes")]
    pub instance: Vec<u8>,
    /// Process id, for people who look.
    pub pid: u32,
    /// It can take payloads as memory.
    #[serde(default, skip_serializing_if = "is_false")]
    pub memory: bool,
}

/// The controller's proof, and everything a node starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// HMAC-SHA256 of the controller; empty where the method needs none.
    #[serde(with = "serde_bytes")]
    pub proof: Vec<u8>,
    /// The index of this node.
    pub node: u32,
    /// Name of the node in the controller's own process, empty when there is none.
    pub controller: String,
    /// Largest payload the controller lets through, in bytes.
    pub max_payload: u64,
    /// How often to be heard of, in milliseconds.
    pub heartbeat_ms: u64,
    /// After how long without a byte a peer is dead, in milliseconds.
    pub dead_ms: u64,
    /// Whether controller and node belong to the same user on the same machine.
    pub local: bool,
    /// What this node may do; everything without. The controller holds it to that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<GrantNotice>,
    /// All nodes and callbacks known now, this node included.
    pub registry: RegistryChange,
}

/// What a node is told of its grant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantNotice {
    /// Patterns of the callbacks that it may expose, `*` standing for any characters.
    pub expose: Vec<String>,
    /// It may stop other nodes.
    pub admin: bool,
}

/// Why a connection is closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// [`ErrorCode`](crate::ErrorCode) as a number.
    pub code: u32,
    /// For people.
    pub message: String,
}

/// An orderly end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goodbye {
    /// For people.
    pub reason: String,
}

/// A change of what a node exposes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    /// Names from now on exposed.
    #[serde(default)]
    pub add: Vec<String>,
    /// Names no longer exposed.
    #[serde(default)]
    pub remove: Vec<String>,
}

/// A change among all nodes. Applied in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryChange {
    /// Nodes that joined: index and name.
    #[serde(default)]
    pub joined: Vec<(u32, String)>,
    /// Callback ids that are used for the first time: id and name.
    #[serde(default)]
    pub names: Vec<(u32, String)>,
    /// What nodes now expose: node index and callback ids.
    #[serde(default)]
    pub exposes: Vec<(u32, Vec<u32>)>,
    /// What nodes no longer expose: node index and callback ids.
    #[serde(default)]
    pub withdraws: Vec<(u32, Vec<u32>)>,
    /// Indexes of nodes that left, with all they exposed.
    #[serde(default)]
    pub left: Vec<u32>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls takes a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

impl RegistryChange {
    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }
}

/// A control frame whose body is `message`.
///
/// # Errors
///
/// A message that MessagePack cannot hold; none of ours.
pub fn frame<T: Serialize>(kind: Kind, message: &T) -> Result<Vec<u8>, rmp_serde::encode::Error> {
    Ok(Header::new(kind).frame(&rmp_serde::to_vec_named(message)?))
}

/// The message in the body of a control frame.
///
/// # Errors
///
/// The body is not the message expected: close the connection with
/// [`ErrorCode::Protocol`](crate::ErrorCode::Protocol).
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, rmp_serde::decode::Error> {
    rmp_serde::from_slice(body)
}

/// Whether `name` may name a node or a callback: 1 to [`MAX_NAME_BYTES`] bytes, no control
/// characters, not `__proto__` (RELIABILITY 3.2).
#[must_use]
pub fn is_valid_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME_BYTES && name != "__proto__" && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_refused_when_empty_too_long_or_with_control_characters() {
        for bad in ["", "a\nb", "\u{1b}[2J", "__proto__", &"x".repeat(129), "\u{85}"] {
            assert!(!is_valid_name(bad), "{bad:?}");
        }
        for good in ["add", "constructor", "then", "../x", "ünï", &"x".repeat(128)] {
            assert!(is_valid_name(good), "{good:?}");
        }
    }

    #[test]
    fn parse_ignores_fields_it_does_not_know_and_fills_lists_that_are_missing() {
        #[derive(Serialize)]
        struct Later<'a> {
            add: Vec<&'a str>,
            colour: u8,
        }
        let body = rmp_serde::to_vec_named(&Later { add: vec!["f"], colour: 3 }).unwrap();
        assert_eq!(parse::<Register>(&body).unwrap(), Register { add: vec!["f".into()], remove: vec![] });
    }

    #[test]
    fn parse_refuses_every_truncation_of_a_message() {
        let body = rmp_serde::to_vec_named(&Refused { code: 12, message: "no".into() }).unwrap();
        for end in 0..body.len() {
            assert!(parse::<Refused>(&body[..end]).is_err());
        }
    }
}
