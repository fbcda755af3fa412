//! Removes the files of jobs from a worker's folder. The coordinator does so for queries that end well; of shards' jobs, of
//! which there are as many as shards, it tells nobody.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use dqa_pipelines::causes;
use dqa_service::cluster::JOB_FILES_KEPT;
use tracing::{debug, warn};

/// Jobs' files are looked through so often.
const SWEEP_EVERY: Duration = Duration::from_secs(300);

/// Sweeps until the process ends.
pub(super) async fn sweep(folder: PathBuf) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let folder = folder.clone();
        let swept = tokio::task::spawn_blocking(move || remove_older(&folder, SystemTime::now() - JOB_FILES_KEPT));
        match swept.await {
            Ok(Ok(0)) => {}
            Ok(Ok(jobs)) => debug!(jobs, "old jobs' files removed"),
            Ok(Err(error)) => warn!(error = %causes(&error), "old jobs' files cannot be removed"),
            Err(error) => warn!(error = %causes(&error), "old jobs' files cannot be removed"),
        }
    }
}

/// Removes the folders in which nothing was written since; how many.
fn remove_older(folder: &Path, since: SystemTime) -> std::io::Result<usize> {
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

/// Of anything in a folder. What is removed meanwhile is nothing.
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

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut all = vec![folder.to_owned()];
    let mut at = 0;
    while at < all.len() {
        if let Ok(entries) = std::fs::read_dir(&all[at]) {
            all.extend(entries.flatten().map(|entry| entry.path()));
        }
        at += 1;
    }
    all
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
        assert_eq!(remove_older(dir.path(), SystemTime::now() - JOB_FILES_KEPT).unwrap(), 1);
        let mut left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["beside", "long", "new"]);
        assert!(remove_older(&dir.path().join("none"), SystemTime::now()).is_err());
    }
}
