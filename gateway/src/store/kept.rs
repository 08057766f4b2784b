//! A reading connection that a task keeps: opening a database anew for each look costs more than the look.

use super::journal;
use rusqlite::Connection;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// The connection; copies share it, and look one after the other.
#[derive(Clone)]
pub struct KeptReader(Arc<(PathBuf, Mutex<Option<Connection>>)>);

impl KeptReader {
    /// Of the journal in a data folder; it is opened at the first look.
    pub fn new(data: PathBuf) -> Self {
        Self(Arc::new((data, Mutex::new(None))))
    }

    /// Looks, off the threads of the runtime. What fails is opened anew the next time.
    pub async fn look<T: Send + 'static>(
        &self,
        with: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Option<T> {
        let kept = self.clone();
        tokio::task::spawn_blocking(move || kept.now(with)).await.ok().flatten()
    }

    fn now<T>(&self, with: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Option<T> {
        let (data, kept) = &*self.0;
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let reader = match kept.take() {
            Some(reader) => reader,
            None => journal::reader(data).ok()?,
        };
        let seen = with(&reader).ok()?;
        *kept = Some(reader);
        Some(seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_connection_serves_all_looks_and_one_that_failed_is_opened_anew() {
        let data = tempfile::tempdir().unwrap();
        let reader = KeptReader::new(data.path().to_path_buf());
        let look = || reader.now(|c| c.query_row("SELECT count(*) FROM told", [], |r| r.get::<_, i64>(0)));
        assert_eq!(look(), None, "there is no journal yet");
        let journal = Connection::open(journal::path(data.path())).unwrap();
        assert_eq!(look(), None, "it has no such table yet");
        journal.execute_batch("CREATE TABLE told (n INTEGER); INSERT INTO told VALUES (1);").unwrap();
        assert_eq!(look(), Some(1));
        // Not by its name any more: only the connection that was kept still finds it.
        std::fs::rename(journal::path(data.path()), data.path().join("elsewhere")).unwrap();
        assert_eq!(look(), Some(1));
    }
}
