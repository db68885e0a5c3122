//! Who may connect: the cookie of a user, and proofs that it is held without sending it.

use crate::error::CoreError;
use crate::pattern::any_names;
use crate::transport::own_uid;
use daffi_protocol::ErrorCode;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What both ends of a connection must hold.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// Nothing: on a UNIX socket the kernel vouches for the user.
    Peer,
    /// Nothing: over TLS each side has verified the certificate of the other.
    Certificate,
    /// The cookie of this user on this machine.
    Cookie([u8; COOKIE_BYTES]),
    /// The token that the controller's owner gave out.
    Token(String),
    /// At a controller: a token, and others in its place for nodes of certain names. See [`Secret::of`].
    Tokens(Arc<Tokens>),
}

/// Which token a node has to hold.
#[derive(Clone, PartialEq, Eq)]
pub struct Tokens {
    /// That of all others.
    pub general: Secret,
    /// Patterns of names, and the token of these nodes; the general one without. The first that fits counts.
    pub named: Vec<(Vec<String>, Option<Secret>)>,
}

impl Secret {
    /// What the node of this name has to hold.
    #[must_use]
    pub fn of(&self, name: &str) -> &Self {
        let Self::Tokens(tokens) = self else { return self };
        let own = tokens.named.iter().find(|(patterns, _)| any_names(patterns, name));
        own.and_then(|(_, secret)| secret.as_ref()).unwrap_or(&tokens.general)
    }

    /// The name of the method in [`Challenge`](daffi_protocol::control::Challenge).
    #[must_use]
    pub const fn method(&self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Certificate => "cert",
            Self::Cookie(_) => "cookie",
            Self::Token(_) | Self::Tokens(_) => "token",
        }
    }

    /// What a node proves with; empty without a secret.
    #[must_use]
    pub fn node_proof(&self, server_nonce: &[u8], client_nonce: &[u8], name: &str, instance: &[u8]) -> Vec<u8> {
        self.mac(&node_parts(server_nonce, client_nonce, &name_length(name), name, instance))
            .map_or_else(Vec::new, |mac| mac.finalize().into_bytes().to_vec())
    }

    /// Whether `proof` is what a node with this secret proves with. Takes the same time whatever
    /// the proof.
    #[must_use]
    pub fn is_node_proof(
        &self,
        proof: &[u8],
        server_nonce: &[u8],
        client_nonce: &[u8],
        name: &str,
        instance: &[u8],
    ) -> bool {
        self.mac(&node_parts(server_nonce, client_nonce, &name_length(name), name, instance))
            .map_or(proof.is_empty(), |mac| mac.verify_slice(proof).is_ok())
    }

    /// What a controller proves with; empty without a secret.
    #[must_use]
    pub fn controller_proof(&self, client_nonce: &[u8], server_nonce: &[u8]) -> Vec<u8> {
        self.mac(&[CONTROLLER_LABEL, client_nonce, server_nonce])
            .map_or_else(Vec::new, |mac| mac.finalize().into_bytes().to_vec())
    }

    /// Whether `proof` is what a controller with this secret proves with. Takes the same time
    /// whatever the proof.
    #[must_use]
    pub fn is_controller_proof(&self, proof: &[u8], client_nonce: &[u8], server_nonce: &[u8]) -> bool {
        self.mac(&[CONTROLLER_LABEL, client_nonce, server_nonce])
            .map_or(proof.is_empty(), |mac| mac.verify_slice(proof).is_ok())
    }

    fn mac(&self, parts: &[&[u8]]) -> Option<Hmac<Sha256>> {
        let key: &[u8] = match self {
            Self::Peer | Self::Certificate => return None,
            Self::Cookie(cookie) => cookie,
            Self::Token(token) => token.as_bytes(),
            // Nobody is asked for several: `of` says for which.
            Self::Tokens(tokens) => return tokens.general.mac(parts),
        };
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
        for part in parts {
            mac.update(part);
        }
        Some(mac)
    }
}

impl fmt::Debug for Secret {
    /// The method alone: a secret is never printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.method())
    }
}

/// Length first, so that no two pairs of name and instance give the same bytes.
fn name_length(name: &str) -> [u8; 4] {
    u32::try_from(name.len()).unwrap_or(u32::MAX).to_le_bytes()
}

const fn node_parts<'a>(
    server_nonce: &'a [u8],
    client_nonce: &'a [u8],
    name_length: &'a [u8; 4],
    name: &'a str,
    instance: &'a [u8],
) -> [&'a [u8]; 6] {
    [NODE_LABEL, server_nonce, client_nonce, name_length, name.as_bytes(), instance]
}

/// Fresh random bytes.
///
/// # Errors
///
/// The system has no source of randomness.
pub fn random<const N: usize>() -> Result<[u8; N], CoreError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        CoreError::new(ErrorCode::Unauthorized, format!("The system gives no random bytes ({error})."))
    })?;
    Ok(bytes)
}

/// `~/.daffi/cookie`, `None` for a user without a home.
#[must_use]
pub fn default_cookie_path() -> Option<PathBuf> {
    std::env::home_dir().filter(|home| home.is_absolute()).map(|home| home.join(".daffi").join("cookie"))
}

/// Reads the cookie at `path`; `Ok(None)` when there is none.
///
/// # Errors
///
/// `Unauthorized` when the file is a link, belongs to another user, may be read by others, or holds
/// something else.
pub fn load_cookie(path: &Path) -> Result<Option<[u8; COOKIE_BYTES]>, CoreError> {
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC).open(path);
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(bad_cookie(path, &format!("cannot be read ({error})"))),
    };
    let found = file.metadata().map_err(|error| bad_cookie(path, &format!("cannot be read ({error})")))?;
    if found.uid() != own_uid() {
        return Err(bad_cookie(path, &format!("belongs to user {}", found.uid())));
    }
    if !found.is_file() || found.mode() & 0o177 != 0 {
        return Err(bad_cookie(path, &format!("has mode {:04o} instead of 0600", found.mode() & 0o7777)));
    }
    let mut cookie = [0; COOKIE_BYTES];
    let filled = file.read_exact(&mut cookie).is_ok() && found.len() == COOKIE_BYTES as u64;
    if filled { Ok(Some(cookie)) } else { Err(bad_cookie(path, "does not hold 32 bytes")) }
}

/// Reads the cookie at `path`, or makes it. Of several that make it at once, all get the same one.
///
/// # Errors
///
/// As [`load_cookie`], or the file cannot be made.
pub fn load_or_create_cookie(path: &Path) -> Result<[u8; COOKIE_BYTES], CoreError> {
    if let Some(cookie) = load_cookie(path)? {
        return Ok(cookie);
    }
    let cookie = random()?;
    create_cookie(path, &cookie).map_err(|error| bad_cookie(path, &format!("cannot be made ({error})")))?;
    load_cookie(path)?.ok_or_else(|| bad_cookie(path, "vanished while it was read"))
}

/// Writes aside and links: a reader never sees half a cookie, and a cookie is never overwritten.
fn create_cookie(path: &Path, cookie: &[u8; COOKIE_BYTES]) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{:016x}", u64::from_le_bytes(random::<8>()?)));
    let aside = PathBuf::from(aside);
    let linked = write_new(&aside, cookie).and_then(|()| fs::hard_link(&aside, path));
    let _ = fs::remove_file(&aside);
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        done => done,
    }
}

fn write_new(path: &Path, cookie: &[u8; COOKIE_BYTES]) -> io::Result<()> {
    let mut file: File = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
        .open(path)?;
    file.write_all(cookie)?;
    file.sync_all()
}

fn bad_cookie(path: &Path, what: &str) -> CoreError {
    let message = format!(
        "The cookie {} {what}. Controller and nodes of one user prove each other with it: remove the file and start \
         the controller again, or pass `token` on both sides.",
        path.display()
    );
    CoreError::new(ErrorCode::Unauthorized, message)
}

/// Bytes of a cookie: the key length of HMAC-SHA256's security.
pub const COOKIE_BYTES: usize = 32;
/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 32;
/// Bytes of an instance.
pub const INSTANCE_BYTES: usize = 16;
/// Roles differ, so that a proof cannot be sent back to its maker.
const NODE_LABEL: &[u8] = b"daffi node v1";
const CONTROLLER_LABEL: &[u8] = b"daffi controller v1";

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            let random = u64::from_le_bytes(random().unwrap());
            let path = std::env::temp_dir().join(format!("daffi-test-{random:016x}"));
            DirBuilder::new().mode(0o700).create(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_cookie_is_made_once_private_and_read_back() {
        let folder = Folder::new();
        let path = folder.0.join("home/.daffi/cookie");
        assert_eq!(load_cookie(&path), Ok(None));
        let cookie = load_or_create_cookie(&path).unwrap();
        assert_ne!(cookie, [0; COOKIE_BYTES]);
        assert_eq!(load_or_create_cookie(&path), Ok(cookie));
        assert_eq!(load_cookie(&path), Ok(Some(cookie)));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let parent = path.parent().unwrap();
        assert_eq!(fs::metadata(parent).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(parent).unwrap().count(), 1, "nothing is left aside");
    }

    #[test]
    fn all_that_make_a_cookie_at_once_get_the_same_one() {
        let folder = Folder::new();
        for round in 0..20 {
            let path = folder.0.join(round.to_string());
            let barrier = std::sync::Barrier::new(4);
            let make = || {
                barrier.wait();
                load_or_create_cookie(&path).unwrap()
            };
            let cookies: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(make)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert!(cookies.iter().all(|cookie| *cookie == cookies[0]));
        }
    }

    #[test]
    fn a_cookie_that_others_may_read_or_that_is_a_link_or_short_is_refused() {
        let folder = Folder::new();
        let path = folder.0.join("cookie");
        load_or_create_cookie(&path).unwrap();
        let link = folder.0.join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(load_cookie(&link).unwrap_err().code, ErrorCode::Unauthorized);
        for mode in [0o640, 0o604, 0o644, 0o700] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(load_or_create_cookie(&path).unwrap_err().code, ErrorCode::Unauthorized);
        }
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "short").unwrap();
        assert_eq!(load_cookie(&path).unwrap_err().code, ErrorCode::Unauthorized);
    }

    #[test]
    fn a_proof_holds_only_for_the_very_same_parts_and_role() {
        let (client, server, instance) = ([1; 32], [2; 32], [3; 16]);
        let secret = Secret::Token("open sesame".into());
        let proof = secret.node_proof(&server, &client, "ab", &instance);
        assert!(secret.is_node_proof(&proof, &server, &client, "ab", &instance));
        assert!(!secret.is_node_proof(&proof, &client, &server, "ab", &instance));
        assert!(!secret.is_node_proof(&proof, &server, &client, "ac", &instance));
        assert!(!secret.is_node_proof(&proof, &server, &client, "ab", &[4; 16]));
        assert!(!secret.is_node_proof(&proof[..31], &server, &client, "ab", &instance));
        assert!(!secret.is_node_proof(&[], &server, &client, "ab", &instance));
        assert!(!Secret::Token("open".into()).is_node_proof(&proof, &server, &client, "ab", &instance));
        assert!(!secret.is_controller_proof(&proof, &client, &server));
        let controller = secret.controller_proof(&client, &server);
        assert!(secret.is_controller_proof(&controller, &client, &server));
        assert!(!secret.is_controller_proof(&controller, &server, &client));
    }

    #[test]
    fn a_secret_is_never_printed() {
        assert_eq!(format!("{:?}", Secret::Token("open sesame".into())), "token");
        assert_eq!(format!("{:?}", Secret::Cookie([7; 32])), "cookie");
    }
}
