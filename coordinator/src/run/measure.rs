//! Sizes of a data set's pictures: from the index in the store, and from the headers of those that are new.

use dqa_engine::decode::Limits;
use dqa_engine::headers;
use dqa_model::Views;
use dqa_pipelines::dataset::{DataSet, Picture};
use dqa_pipelines::index::{Header, Index};
use dqa_pipelines::limits::PictureLimits;
use dqa_pipelines::store::Store;
use futures::StreamExt;

use super::{Measured, RunError};

/// Headers read between two writes of the index: a killed plan of a large remote data set loses a minute's reading.
const HEADERS_KEPT_EVERY: usize = 50_000;

/// The index of a data set with the headers of all its pictures and inputs, but for files of more than `bytes_max`. `each` is
/// told how many are still to be read.
///
/// # Errors
/// Where the store fails; where headers could not be read for a reason that may pass.
pub async fn index(
    store: &Store,
    dataset: &DataSet,
    bytes_max: u64,
    mut each: impl FnMut(usize),
) -> Result<Index, RunError> {
    let mut index = Index::read(store, &dataset.name).await?;
    for dataset in [dataset, &dataset.of_inputs()] {
        read(store, dataset, bytes_max, &mut index, &mut each).await?;
    }
    Ok(index)
}

/// Reads the headers of the pictures that the index lacks.
async fn read(
    store: &Store,
    dataset: &DataSet,
    bytes_max: u64,
    index: &mut Index,
    each: &mut impl FnMut(usize),
) -> Result<(), RunError> {
    let is_unknown = |picture: &Picture| picture.bytes <= bytes_max && index.get(picture).is_none();
    let unknown: Vec<usize> = (0..dataset.pictures.len()).filter(|at| is_unknown(&dataset.pictures[*at])).collect();
    let mut left = unknown.len();
    let mut failures = Vec::new();
    for some in unknown.chunks(HEADERS_KEPT_EVERY) {
        let mut headers = headers::read(dataset, some.to_vec(), bytes_max);
        while let Some((at, header)) = headers.next().await {
            left -= 1;
            each(left);
            match header {
                Ok(header) => index.insert(&dataset.pictures[at], header),
                Err(error) => failures.push(error),
            }
        }
        index.write(store, &dataset.name).await?;
    }
    let (failed, pictures) = (failures.len(), dataset.pictures.len());
    match failures.into_iter().find(|error| !error.is_of_object()) {
        Some(source) => Err(RunError::Headers { dataset: dataset.name.to_string(), failed, pictures, source }),
        // A file that may not be read, or went away after it was listed, becomes a row that says so.
        None => Ok(()),
    }
}

/// The number of windows of each picture of a data set, for a run with these views and limits.
pub fn measure(dataset: DataSet, index: &Index, views: &Views, limits: PictureLimits) -> Measured {
    let limits = Limits::of(limits, views.side_min());
    let windows = |size: Option<(u32, u32)>| size.map_or(0, |(width, height)| views.windows(width, height));
    let windows = dataset.pictures.iter().map(|picture| {
        let header = headers::judged(index.get(picture), picture, &limits);
        u32::try_from(windows(header.as_ref().and_then(Header::size))).unwrap_or(u32::MAX)
    });
    Measured { windows: windows.collect(), dataset }
}
