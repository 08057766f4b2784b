//! The keys of the gateway: made at the first start, readable by the daemon alone. Those of its site are in
//! [`crate::subjects`].

use kakou_core::evidence::GatewayKey;
use kakou_core::pass::hex;
use kakou_link::durable;
use kakou_provisioning::envelope::{KEY, ReaderKey};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::Ed25519KeyPair;
use std::fs;
use std::path::{Path, PathBuf};

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or made.
    #[error("{0}: {1}; the daemon needs to read and write its keys")]
    Io(PathBuf, std::io::Error),
    /// The file holds something else.
    #[error("{0}: {1}; restore it from a backup, or move it away for a new identity")]
    Bad(PathBuf, String),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

/// Signs evidence and heads of the chain.
pub fn gateway_key(data: &Path) -> Result<GatewayKey, KeyError> {
    let path = data.join("keys/gateway.pk8");
    let der = read_or_make(&path, || {
        Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
            .map(|d| d.as_ref().to_vec())
            .map_err(|_| KeyError::Random)
    })?;
    let key = GatewayKey::from_pkcs8(&der).map_err(|e| KeyError::Bad(path, e.to_string()))?;
    let public = data.join("gateway.pub");
    let text = format!("{}\n", hex(key.public()));
    // For whoever verifies elsewhere; a full disk must not keep the daemon from starting.
    if fs::read_to_string(&public).ok().as_ref() != Some(&text)
        && let Err(e) = fs::write(&public, text)
    {
        log::warn!("{}: {e}", public.display());
    }
    Ok(key)
}

/// The key that signs, where there is one: for whoever only exports.
pub fn existing_gateway_key(data: &Path) -> Result<GatewayKey, KeyError> {
    let path = data.join("keys/gateway.pk8");
    let der = fs::read(&path).map_err(|e| KeyError::Io(path.clone(), e))?;
    GatewayKey::from_pkcs8(&der).map_err(|e| KeyError::Bad(path, e.to_string()))
}

/// Opens the envelopes that are for this box.
pub fn reader_key(data: &Path) -> Result<ReaderKey, KeyError> {
    let path = data.join("keys/reader.key");
    let bytes = read_or_make(&path, || random(KEY))?;
    ReaderKey::from_bytes(&bytes).map_err(|e| KeyError::Bad(path, e.to_string()))
}

/// Seals what the journal keeps of whoever stands in a lane. One that is damaged is set aside for a new one: visits
/// under way are over then, which is better than a gateway that does not start.
pub fn row_key(data: &Path) -> Result<[u8; ROW_KEY], KeyError> {
    let path = data.join("keys/rows.key");
    if let Ok(key) = read_or_make(&path, || random(ROW_KEY))?.try_into() {
        return Ok(key);
    }
    log::error!(
        "{}: it has not {ROW_KEY} bytes; it is set aside, and visits under way are over",
        path.display()
    );
    let aside = path.with_extension("key.unreadable");
    fs::rename(&path, &aside).map_err(|e| KeyError::Io(aside, e))?;
    let key = read_or_make(&path, || random(ROW_KEY))?;
    key.try_into().map_err(|_| KeyError::Bad(path, format!("it has not {ROW_KEY} bytes")))
}

/// Its length.
const ROW_KEY: usize = 32;

/// So many random bytes.
pub fn random(bytes: usize) -> Result<Vec<u8>, KeyError> {
    let mut secret = vec![0; bytes];
    SystemRandom::new().fill(&mut secret).map_err(|_| KeyError::Random)?;
    Ok(secret)
}

fn read_or_make(path: &Path, make: impl FnOnce() -> Result<Vec<u8>, KeyError>) -> Result<Vec<u8>, KeyError> {
    let io = |e| KeyError::Io(path.to_path_buf(), e);
    match fs::read(path) {
        Ok(bytes) => Ok(bytes),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let bytes = make()?;
            if let Some(folder) = path.parent() {
                durable::make_folder(folder).map_err(io)?;
            }
            durable::write_secret(path, &bytes).map_err(io)?;
            Ok(bytes)
        }
        Err(e) => Err(io(e)),
    }
}
