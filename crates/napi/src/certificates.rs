//! Certificates to try TLS with: an authority, what it signs, what it revokes. For `daffi certs`.

use napi::bindgen_prelude::*;
use napi_derive::napi;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod, KeyPair,
    RevokedCertParams, SerialNumber,
};
use std::time::{Duration, SystemTime};

/// A certificate and its private key, as PEM.
#[napi(object)]
pub struct SignedDto {
    pub cert: String,
    pub key: String,
}

/// A new authority, good for ten years.
#[napi(catch_unwind)]
pub fn make_authority() -> Result<SignedDto> {
    let key = KeyPair::generate().map_err(failed)?;
    let cert = authority(&key)?.self_signed(&key).map_err(failed)?;
    Ok(SignedDto { cert: cert.pem(), key: key.serialize_pem() })
}

/// A certificate for these names and addresses, signed by the authority of this key and good for `days`.
#[napi(catch_unwind)]
pub fn sign_certificate(authority_key: String, names: Vec<String>, days: u32) -> Result<SignedDto> {
    let issuer = issuer(&authority_key)?;
    let key = KeyPair::generate().map_err(failed)?;
    let common = names.first().cloned().unwrap_or_default();
    let mut params = params(names, &common, days)?;
    params.serial_number = Some(serial());
    let cert = params.signed_by(&key, &issuer).map_err(failed)?;
    Ok(SignedDto { cert: cert.pem(), key: key.serialize_pem() })
}

/// The list of the certificates that the authority of this key revokes, by serial number, in hex.
#[napi(catch_unwind)]
pub fn revoke_certificates(authority_key: String, serials: Vec<String>) -> Result<String> {
    let now = SystemTime::now();
    let revoked = serials.iter().map(|serial| {
        Ok(RevokedCertParams {
            serial_number: SerialNumber::from(hex(serial)?),
            revocation_time: now.into(),
            reason_code: None,
            invalidity_date: None,
        })
    });
    let list = CertificateRevocationListParams {
        this_update: now.into(),
        next_update: (now + DAY * AUTHORITY_DAYS).into(),
        crl_number: SerialNumber::from(seconds(now)),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect::<Result<_>>()?,
        key_identifier_method: KeyIdMethod::Sha256,
    };
    list.signed_by(&issuer(&authority_key)?).and_then(|list| list.pem()).map_err(failed)
}

/// The authority of a key, whose name follows from it, so that the key is all there is to keep.
fn issuer(pem: &str) -> Result<Issuer<'static, KeyPair>> {
    let key = KeyPair::from_pem(pem).map_err(failed)?;
    Ok(Issuer::new(authority(&key)?, key))
}

fn authority(key: &KeyPair) -> Result<CertificateParams> {
    // Two authorities of one name could not be told apart.
    let print: String = key.public_key_raw().iter().rev().take(4).map(|byte| format!("{byte:02x}")).collect();
    let mut params = params(Vec::new(), &format!("daffi authority {print}"), AUTHORITY_DAYS)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.serial_number = Some(serial());
    Ok(params)
}

fn params(names: Vec<String>, common: &str, days: u32) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(names).map_err(failed)?;
    params.distinguished_name.push(DnType::CommonName, common);
    let now = SystemTime::now();
    // The clock of another machine may be a little behind.
    params.not_before = (now - DAY).into();
    params.not_after = (now + DAY * days).into();
    Ok(params)
}

/// A number that no other certificate of an authority has: the moment, in nanoseconds.
fn serial() -> SerialNumber {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    SerialNumber::from((now as u64) >> 1)
}

fn seconds(now: SystemTime) -> u64 {
    now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn hex(text: &str) -> Result<Vec<u8>> {
    let padded = if text.len().is_multiple_of(2) { text.to_owned() } else { format!("0{text}") };
    let digits: Option<Vec<u8>> = padded.chars().map(|digit| digit.to_digit(16).map(|value| value as u8)).collect();
    let digits = digits.ok_or_else(|| Error::new(Status::InvalidArg, "a serial number is not in hex"))?;
    Ok(digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}

fn failed(error: rcgen::Error) -> Error {
    Error::new(Status::GenericFailure, error.to_string())
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const AUTHORITY_DAYS: u32 = 3650;
