//! Measures a data set's pictures: sizes from the index in the store, and from the headers of new pictures.

use dqa_engine::decode::Limits;
use dqa_engine::headers;
use dqa_model::Views;
use dqa_pipelines::dataset::{DataSet, Picture, PictureHeader, ReferenceKind};
use dqa_pipelines::header_index::HeaderIndex;
use dqa_pipelines::picture_limits::PictureLimits;
use dqa_pipelines::store::Store;
use futures::StreamExt;

use super::error::RunError;

/// Headers read between two writes of the index: a process that is killed while it plans a large remote data set loses
/// about a minute of reading.
const HEADERS_PER_WRITE: usize = 50_000;

/// A data set with the number of windows of each picture, in the order of its pictures.
#[derive(Debug)]
pub struct MeasuredDataSet {
    /// The data set.
    pub dataset: DataSet,
    /// Windows of each picture; 0 for a picture that cannot be scored according to its header.
    pub windows: Vec<u32>,
}

/// Reads the headers that a data set's index lacks and writes the index to the store. The index then has the headers of
/// all pictures and references but those of files larger than `bytes_max`. Calls `report` with the number of headers left.
///
/// # Errors
/// If the store fails; if headers could not be read for a temporary reason.
pub async fn update_index(
    store: &Store,
    dataset: &DataSet,
    bytes_max: u64,
    mut report: impl FnMut(usize),
) -> Result<HeaderIndex, RunError> {
    let mut index = HeaderIndex::read(store, &dataset.name).await?;
    read_headers(store, dataset, bytes_max, &mut index, &mut report).await?;
    for kind in ReferenceKind::ALL {
        read_headers(store, &dataset.references_as_data_set(kind), bytes_max, &mut index, &mut report).await?;
    }
    Ok(index)
}

/// Reads the headers of the pictures that the index lacks.
async fn read_headers(
    store: &Store,
    dataset: &DataSet,
    bytes_max: u64,
    index: &mut HeaderIndex,
    report: &mut impl FnMut(usize),
) -> Result<(), RunError> {
    let is_unknown = |picture: &Picture| picture.bytes <= bytes_max && index.get(picture).is_none();
    let unknown: Vec<usize> =
        (0..dataset.pictures.len()).filter(|picture| is_unknown(&dataset.pictures[*picture])).collect();
    let mut left = unknown.len();
    let mut failures = Vec::new();
    for chunk in unknown.chunks(HEADERS_PER_WRITE) {
        let mut headers = headers::read(dataset, chunk.to_vec(), bytes_max);
        while let Some((picture, header)) = headers.next().await {
            left -= 1;
            report(left);
            match header {
                Ok(header) => index.insert(&dataset.pictures[picture], header),
                Err(error) => failures.push(error),
            }
        }
        index.write(store, &dataset.name).await?;
    }
    let (failed, pictures) = (failures.len(), dataset.pictures.len());
    match failures.into_iter().find(|error| !error.is_object_specific()) {
        Some(source) => Err(RunError::Headers { dataset: dataset.name.to_string(), failed, pictures, source }),
        // A file that must not be read, or was deleted after it was listed, becomes a row with an error.
        None => Ok(()),
    }
}

/// Counts the windows of each picture of a data set, for a run with these views and limits.
pub fn measure(dataset: DataSet, index: &HeaderIndex, views: &Views, limits: PictureLimits) -> MeasuredDataSet {
    let limits = Limits::new(limits, views.side_min());
    let windows = |size: Option<(u32, u32)>| size.map_or(0, |(width, height)| views.windows(width, height));
    let windows = dataset.pictures.iter().map(|picture| {
        let header = headers::check(index.get(picture), picture, &limits);
        u32::try_from(windows(header.as_ref().and_then(PictureHeader::size))).unwrap_or(u32::MAX)
    });
    MeasuredDataSet { windows: windows.collect(), dataset }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use dqa_pipelines::dataset;

    use super::*;

    #[tokio::test]
    async fn the_index_has_the_headers_of_references() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["a", "hazy", "clear"] {
            std::fs::create_dir_all(dir.path().join("set").join(folder)).unwrap();
            std::fs::write(dir.path().join("set").join(folder).join("1.png"), folder).unwrap();
        }
        let root = dir.path().join("set").display().to_string();
        let definition = dataset::find_definition(&root, Path::new("")).unwrap();
        let dataset = dataset::load(&definition).await.unwrap();
        let store = Store::create(&dir.path().join("store").display().to_string(), Path::new("")).unwrap();
        let index = update_index(&store, &dataset, 1 << 20, |_| ()).await.unwrap();
        assert!(index.get(&dataset.pictures[0]).is_some());
        for kind in ReferenceKind::ALL {
            let reference = dataset.reference(&dataset.pictures[0], kind).unwrap();
            assert!(index.get(reference).is_some(), "{kind:?}");
        }
    }
}
