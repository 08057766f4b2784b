//! A real PostgreSQL in a folder of its own, on a socket of its own.

use crate::figures::Missing;
use crate::wait;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The folder of the newest server's programs, if one is installed.
pub fn installed() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<PathBuf> = versions.flatten().map(|v| v.path().join("bin")).collect();
    found.retain(|bin| bin.join("postgres").exists());
    found.sort();
    found.pop()
}

/// A server.
pub struct Postgres {
    folder: tempfile::TempDir,
    child: Child,
    port: u16,
}

/// The server refuses to run as root: it runs as the user that its package made.
fn as_postgres(program: &Path) -> Command {
    if rustix::process::geteuid().is_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}

impl Postgres {
    /// Makes a cluster and starts it. Commits are durable, as they are where it ships.
    pub fn start() -> Result<Self, Missing> {
        Self::start_in(&std::env::temp_dir())
    }

    /// The same with its files in a folder. In memory it stands for a server on another machine: its
    /// disk is not the gateway's.
    pub fn start_in(place: &Path) -> Result<Self, Missing> {
        Self::start_at(place, None)
    }

    /// One that is reached by TCP as well, with passwords, as Debian's is.
    pub fn by_tcp(port: u16) -> Result<Self, Missing> {
        Self::start_at(&std::env::temp_dir(), Some(port))
    }

    fn start_at(place: &Path, port: Option<u16>) -> Result<Self, Missing> {
        let bin = installed().ok_or_else(|| Missing("postgresql is not installed".into()))?;
        let folder = tempfile::tempdir_in(place)?;
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777))?;
        let data = folder.path().join("data");
        let made = as_postgres(&bin.join("initdb"))
            .args(["-A", "trust", "-U", "kakou", "-E", "UTF8", "--locale", "C", "-D"])
            .arg(&data)
            .current_dir("/")
            .stdout(Stdio::null())
            .output()?;
        if !made.status.success() {
            return Err(Missing(String::from_utf8_lossy(&made.stderr).into_owned()));
        }
        let rules = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
        std::fs::write(data.join("pg_hba.conf"), rules)?;
        let (address, port) = port.map_or(("", 5432), |port| ("127.0.0.1", port));
        let child = as_postgres(&bin.join("postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-c", &format!("listen_addresses={address}"), "-p", &port.to_string(), "-k"])
            .arg(folder.path())
            .current_dir("/")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let server = Self { folder, child, port };
        // Its socket is there before it takes anybody in.
        wait::try_until(Duration::from_secs(30), || {
            let mut ready = Command::new(bin.join("pg_isready"));
            let port = port.to_string();
            let asked = ready.args(["-q", "-p", &port, "-h"]).arg(server.folder.path()).status();
            asked.is_ok_and(|status| status.success()).then_some(())
        })
        .ok_or_else(|| Missing("postgresql did not start".into()))?;
        Ok(server)
    }

    /// How `kakou central ingest --database` finds it.
    pub fn url(&self) -> String {
        self.url_of("kakou", "postgres")
    }

    /// The same for another role and another database.
    pub fn url_of(&self, role: &str, database: &str) -> String {
        format!("host={} port={} user={role} dbname={database}", self.folder.path().display(), self.port)
    }

    /// Runs a file of SQL that ships, as `psql` does, and gives what it says; the error as well.
    pub fn psql(&self, url: &str, file: &str, variables: &[(&str, &str)]) -> Result<String, String> {
        let mut command = Command::new("psql");
        command.args(["-X", "-v", "ON_ERROR_STOP=1", "-d", url]);
        variables.iter().for_each(|(name, value)| {
            command.env(name, value).args(["-v", &format!("{name}={value}")]);
        });
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gateway/central").join(file);
        let done = command.arg("-f").arg(file).output().map_err(|e| e.to_string())?;
        let text = [done.stdout, done.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        if done.status.success() { Ok(text) } else { Err(text) }
    }

    /// A connection that looks; its driver runs on the current runtime.
    pub async fn look(&self) -> Result<tokio_postgres::Client, Missing> {
        self.look_at("postgres").await
    }

    /// The same into another database.
    pub async fn look_at(&self, name: &str) -> Result<tokio_postgres::Client, Missing> {
        let (client, connection) =
            tokio_postgres::connect(&self.url_of("kakou", name), tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The postmaster ends its children with it, so it must be asked, not killed.
        let pid = std::fs::read_to_string(self.folder.path().join("data/postmaster.pid")).unwrap_or_default();
        if let Some(pid) = pid.lines().next() {
            drop(Command::new("kill").args(["-INT", pid]).status());
        }
        drop(self.child.wait());
    }
}
