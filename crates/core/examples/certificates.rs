//! Makes the certificates of the tests, and those to try TLS with: `node scripts/certificates.mjs [folder]`.
//!
//! Two authorities; a controller for `localhost`; nodes named `worker` and `caller`; a `worker` of the other authority.

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
    sign(folder, &other, "other-worker", &["worker"])
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
    let cert = params(name, names)?.signed_by(&key, issuer)?;
    fs::write(folder.join(format!("{name}.pem")), cert.pem())?;
    fs::write(folder.join(format!("{name}.key.pem")), key.serialize_pem())?;
    Ok(())
}

fn params(name: &str, names: &[&str]) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    params.distinguished_name.push(DnType::CommonName, format!("daffi test {name}"));
    params.not_before = rcgen::date_time_ymd(2025, 1, 1);
    params.not_after = rcgen::date_time_ymd(2125, 1, 1);
    Ok(params)
}
