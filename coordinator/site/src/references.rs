//! The hazy inputs and clear pictures of a data set's scenes, for pages of scenes. A run's rows name only what was scored, so
//! they come from the data set itself.

use std::collections::HashMap;
use std::time::Duration;

use dqa_metrics::ReferenceKind;
use dqa_pages::{SceneRef, Segment};
use dqa_pipelines::causes;
use dqa_pipelines::dataset::{self, DataSet, Definition, LoadPolicy, Picture};
use dqa_pipelines::run::{DatasetSpec, RunRecord};
use tracing::warn;

/// A data set with more pictures is not listed for its references: a listed picture takes about 200 bytes.
const PICTURES_MAX: u64 = 1_000_000;

/// A page does not wait longer for a data set to be listed.
const LISTING_MAX: Duration = Duration::from_secs(20);

/// A picture that is not a row of the run.
#[derive(Clone, Debug)]
pub(crate) struct ReferencePicture {
    /// Its name in the data set.
    pub(crate) image: String,
    pub(crate) uri: String,
}

/// The references of a data set.
#[derive(Debug, Default)]
pub(crate) struct References {
    scenes: HashMap<SceneRef, [Option<ReferencePicture>; 2]>,
    uris: HashMap<String, String>,
}

impl References {
    /// Lists the data set. A data set that cannot be listed, or is too large, has no references.
    pub(crate) async fn read(record: &RunRecord, spec: &DatasetSpec, policy: LoadPolicy) -> References {
        let pictures: u64 = record.parts.iter().filter(|part| part.dataset == spec.name).map(|part| part.rows).sum();
        if pictures > PICTURES_MAX {
            return References::default();
        }
        let definition = match Definition::from_toml(&spec.definition) {
            Ok(definition) => Definition { root: spec.root.clone(), ..definition },
            Err(error) => {
                warn!(dataset = %spec.name, error = %causes(&error), "no references: the definition cannot be read");
                return References::default();
            }
        };
        if definition.hazy.is_none() && definition.clear.is_none() {
            return References::default();
        }
        // Listing has futures that the compiler does not let move between threads.
        let runtime = tokio::runtime::Handle::current();
        let listing = tokio::task::spawn_blocking(move || runtime.block_on(dataset::load_within(&definition, &policy)));
        match tokio::time::timeout(LISTING_MAX, listing).await {
            Ok(Ok(Ok(data))) => return References::of(&data),
            Ok(Ok(Err(error))) => {
                warn!(dataset = %spec.name, error = %causes(&error), "no references: the data set cannot be listed");
            }
            Ok(Err(_)) => warn!(dataset = %spec.name, "no references: listing the data set failed unexpectedly"),
            Err(_) => warn!(dataset = %spec.name, "no references: the data set is not listed in {LISTING_MAX:?}"),
        }
        References::default()
    }

    fn of(data: &DataSet) -> References {
        let mut references = References::default();
        for picture in &data.pictures {
            let found = [ReferenceKind::Hazy, ReferenceKind::Clear].map(|kind| {
                let picture: &Picture = data.reference(picture, kind)?;
                Some(ReferencePicture { image: picture.image.to_string(), uri: data.uri(picture) })
            });
            for picture in found.iter().flatten() {
                references.uris.insert(picture.image.clone(), picture.uri.clone());
            }
            let group = picture.scene_group.as_deref().map(str::to_owned);
            references.scenes.entry(SceneRef { group, name: picture.scene.to_string() }).or_insert(found);
        }
        references
    }

    /// Returns the hazy input and the clear picture of a scene.
    pub(crate) fn of_scene(&self, scene: &SceneRef) -> [Option<&ReferencePicture>; 2] {
        self.scenes.get(scene).map_or([None, None], |found| found.each_ref().map(Option::as_ref))
    }

    /// Returns the address of a reference by its name in the data set.
    pub(crate) fn uri(&self, image: &Segment) -> Option<&str> {
        let uri = match image.name() {
            Some(name) => self.uris.get(&name),
            // A cut segment has no name: compare with all.
            None => self.uris.iter().find(|(name, _)| image.is_of(name)).map(|(_, uri)| uri),
        };
        uri.map(String::as_str)
    }
}
