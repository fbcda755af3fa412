//! Deletes the files of old jobs from a worker's folder. The coordinator deletes those of queries that succeed, but not
//! those of shards' jobs, one per shard.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use dqa_pipelines::causes;
use dqa_service::cluster::JOB_FILES_RETENTION;
use tracing::{debug, warn};

/// Interval of the sweeps.
const SWEEP_EVERY: Duration = Duration::from_secs(300);

/// Deletes old files at intervals until the process ends.
pub(super) async fn sweep(folder: PathBuf) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let folder = folder.clone();
        let swept = tokio::task::spawn_blocking(move || delete_older(&folder, SystemTime::now() - JOB_FILES_RETENTION));
        match swept.await {
            Ok(Ok(0)) => {}
            Ok(Ok(jobs)) => debug!(jobs, "old jobs' files removed"),
            Ok(Err(error)) => warn!(error = %causes(&error), "old jobs' files cannot be removed"),
            Err(error) => warn!(error = %causes(&error), "old jobs' files cannot be removed"),
        }
    }
}

/// Deletes the folders in which nothing was written since a time, and returns their number.
fn delete_older(folder: &Path, since: SystemTime) -> std::io::Result<usize> {
    let mut removed = 0;
    for job in std::fs::read_dir(folder)? {
        let job = job?;
        if job.file_type()?.is_dir() && last_write(&job.path())? < since {
            std::fs::remove_dir_all(job.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Returns the time of the last write in a folder. Files that are deleted meanwhile are ignored.
fn last_write(folder: &Path) -> std::io::Result<SystemTime> {
    let mut last = SystemTime::UNIX_EPOCH;
    for entry in walk(folder) {
        match std::fs::metadata(&entry).and_then(|file| file.modified()) {
            Ok(modified) => last = last.max(modified),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(last)
}

/// Returns the folder and everything below it.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut paths = vec![folder.to_owned()];
    let mut next = 0;
    while next < paths.len() {
        if let Ok(entries) = std::fs::read_dir(&paths[next]) {
            paths.extend(entries.flatten().map(|entry| entry.path()));
        }
        next += 1;
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_writes_any_more_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, hours: u64| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let file = std::fs::File::create(&path).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(3600 * hours)).unwrap();
            for folder in path.ancestors().skip(1).take_while(|folder| *folder != dir.path()) {
                let then = SystemTime::now() - Duration::from_secs(3600 * 5);
                std::fs::File::open(folder).unwrap().set_modified(then).unwrap();
            }
        };
        file("old/1/0/data.arrow", 3);
        file("long/1/0/data.arrow", 3);
        file("long/2/0/data.arrow", 0);
        file("new/1/0/data.arrow", 0);
        file("beside", 9);
        assert_eq!(delete_older(dir.path(), SystemTime::now() - JOB_FILES_RETENTION).unwrap(), 1);
        let mut left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["beside", "long", "new"]);
        assert!(delete_older(&dir.path().join("none"), SystemTime::now()).is_err());
    }
}
