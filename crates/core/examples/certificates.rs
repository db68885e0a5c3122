//! Makes the certificates of the tests, and those to try TLS with: `node scripts/certificates.mjs [folder]`.
//!
//! Two authorities; a controller for `localhost`; nodes named `worker` and `caller`; a `worker` of the other authority; a
//! controller whose certificate is over, of an authority of its own, and one that signed its certificate itself.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::error::Error;
use std::fs;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("the folder to write to is missing")?;
    let folder = Path::new(&folder);
    fs::create_dir_all(folder)?;
    let authority = authority(folder, "ca")?;
    let other = self::authority(folder, "other-ca")?;
    sign(folder, &authority, "controller", &["localhost", "127.0.0.1", "::1"])?;
    sign(folder, &authority, "worker", &["worker"])?;
    sign(folder, &authority, "caller", &["caller"])?;
    sign(folder, &other, "other-worker", &["worker"])?;
    // What must be refused: a controller whose certificate is over, and one that signed its own.
    let late = self::authority(folder, "late-ca")?;
    expired(folder, &late, "expired", &["localhost", "127.0.0.1", "::1"])?;
    self_signed(folder, "self-signed", &["localhost", "127.0.0.1", "::1"])
}

fn expired(folder: &Path, issuer: &Issuer<'_, KeyPair>, name: &str, names: &[&str]) -> Result<(), Box<dyn Error>> {
    let key = KeyPair::generate()?;
    let mut params = params(name, names)?;
    params.not_after = rcgen::date_time_ymd(2025, 1, 2);
    write(folder, name, &params.signed_by(&key, issuer)?.pem(), &key)
}

fn self_signed(folder: &Path, name: &str, names: &[&str]) -> Result<(), Box<dyn Error>> {
    let key = KeyPair::generate()?;
    write(folder, name, &params(name, names)?.self_signed(&key)?.pem(), &key)
}

fn write(folder: &Path, name: &str, cert: &str, key: &KeyPair) -> Result<(), Box<dyn Error>> {
    fs::write(folder.join(format!("{name}.pem")), cert)?;
    fs::write(folder.join(format!("{name}.key.pem")), key.serialize_pem())?;
    Ok(())
}

fn authority(folder: &Path, name: &str) -> Result<Issuer<'static, KeyPair>, Box<dyn Error>> {
    let key = KeyPair::generate()?;
    let mut params = params(name, &[])?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    fs::write(folder.join(format!("{name}.pem")), params.self_signed(&key)?.pem())?;
    Ok(Issuer::new(params, key))
}

fn sign(folder: &Path, issuer: &Issuer<'_, KeyPair>, name: &str, names: &[&str]) -> Result<(), Box<dyn Error>> {
    let key = KeyPair::generate()?;
    write(folder, name, &params(name, names)?.signed_by(&key, issuer)?.pem(), &key)
}

fn params(name: &str, names: &[&str]) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    params.distinguished_name.push(DnType::CommonName, format!("daffi test {name}"));
    params.not_before = rcgen::date_time_ymd(2025, 1, 1);
    params.not_after = rcgen::date_time_ymd(2125, 1, 1);
    Ok(params)
}
