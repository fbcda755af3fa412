//! From a definition to a data set: opens its place, finds its pictures by whichever of the ways it names, labels them.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use futures::TryStreamExt;

use super::check::distinct;
use super::definition::Definition;
use super::error::DatasetError;
use super::files::{self, Entry};
use super::labels;
use super::layout::Layout;
use super::left_out::{self, Filter};
use super::listing::{self, Found};
use super::{DataSet, Picture, Scene, SceneKey, manifest, mos_mat, set_apart};
use crate::file_names::is_picture;
use crate::names::{AlgorithmName, nfc};
use crate::store::Store;

/// Layouts in use, one of which a folder without a definition must have.
const USUAL: [&str; 4] = [
    "{algorithm}/{scene}.{ext}",
    "{scene}_{algorithm}.{ext}",
    "{algorithm}/imgs/{image}.{ext}",
    "{dataset}/{algorithm}/imgs/{image}.{ext}",
];

/// Ways to put pictures into tars, one of which a folder of nothing else must have: a tar for each algorithm, several for
/// each, or some for all.
const USUAL_IN_TARS: [&str; 3] =
    ["{algorithm}.tar/{scene}.{ext}", "{algorithm}/{}.tar/{scene}.{ext}", "{}.tar/{algorithm}/{scene}.{ext}"];

/// Whether a layout is one that is found without a definition.
pub(super) fn is_usual(layout: &str) -> bool {
    USUAL.contains(&layout) || USUAL_IN_TARS.contains(&layout)
}

/// The data set that a definition describes, as it is now: lists its places and reads its labels, but no picture.
///
/// # Errors
/// Where the definition contradicts itself or what is there; where a place or a table fails; where there is no picture.
pub async fn load(definition: &Definition) -> Result<DataSet, DatasetError> {
    load_from(Store::open(&definition.root, Path::new(""))?, definition).await
}

/// As [`load`], from a place that is open.
///
/// # Errors
/// As [`load`].
pub async fn load_from(root: Store, definition: &Definition) -> Result<DataSet, DatasetError> {
    let mut definition = definition.clone();
    let mut found = if let Some(importer) = definition.importer {
        mos_mat::list(&root, &definition, importer).await?
    } else if let Some(file) = &definition.manifest {
        manifest::list(&root, &definition, file).await?
    } else {
        if definition.layout.is_empty() {
            definition.layout = vec![detect(&root, &definition).await?];
        }
        let layout = |text: &String| Layout::new(text, definition.name_in_files().as_str());
        let layouts = definition.layout.iter().map(layout).collect::<Result<Vec<_>, _>>()?;
        listing::list(&root, &definition, &layouts).await?
    };
    if found.pictures.is_empty() {
        return Err(empty(&root, &definition, found));
    }
    sort(&mut found.pictures);
    let has_own_labels = definition.importer.is_some() || definition.manifest.is_some();
    if !has_own_labels {
        let files = std::mem::take(&mut found.label_files);
        let notes = labels::label(&root, &definition, files, &mut found.pictures, &mut found.faults).await?;
        found.notes.extend(notes);
    }
    let mut data = DataSet {
        name: definition.name.clone(),
        scenes: Vec::new(),
        is_labelled: definition.labels.is_some() || found.pictures.iter().any(|picture| picture.mos.is_some()),
        protocol: definition.protocol,
        definition: definition.to_toml(),
        root,
        pictures: found.pictures,
        inputs: found.inputs,
        inputs_from: None,
        hazy_rows: None,
        set_apart: Vec::new(),
        faults: found.faults.into_sorted(),
        left_out: found.left_out.into_sorted(),
        notes: found.notes,
    };
    // A table names whose each picture is.
    if !has_own_labels {
        set_apart::set_apart(&mut data, &definition);
    }
    data.scenes = scenes(&data.pictures, &found.absent);
    Ok(data)
}

pub(super) fn sort(pictures: &mut [Picture]) {
    type SortKey<'p> = (&'p AlgorithmName, &'p str, Option<&'p str>, &'p str);
    fn sort_key(picture: &Picture) -> SortKey<'_> {
        (&picture.algorithm, &picture.scene, picture.scene_group.as_deref(), &picture.image)
    }
    pictures.sort_unstable_by(|a, b| sort_key(a).cmp(&sort_key(b)));
}

fn empty(root: &Store, definition: &Definition, found: Found) -> DatasetError {
    if let Some(broken) = found.broken_tar {
        return broken;
    }
    let left_out = left_out::lines(&found.left_out.into_sorted());
    let seen = if !found.seen.is_empty() {
        let layouts = if definition.layout.is_empty() {
            String::new()
        } else {
            format!(", not {}", definition.layout.join(", "))
        };
        format!("{} has {}{layouts}", root.url(), found.seen.join(", "))
    } else if left_out.is_empty() {
        format!("{} has no files", root.url())
    } else {
        format!("{} has nothing else than {}", root.url(), left_out.join("; "))
    };
    DatasetError::Empty { name: definition.name.clone(), seen }
}

/// Every scene, with how many pictures of it the algorithm has that should have most.
pub(super) fn scenes(pictures: &[Picture], all_absent: &[(AlgorithmName, SceneKey)]) -> Vec<Scene> {
    let mut absent: HashMap<(AlgorithmName, SceneKey), u32> = HashMap::new();
    for (algorithm, scene) in all_absent {
        *absent.entry((algorithm.clone(), scene.clone())).or_default() += 1;
    }
    let mut scenes: BTreeMap<SceneKey, u32> = BTreeMap::new();
    for run in pictures.chunk_by(|a, b| a.algorithm == b.algorithm && a.is_of_scene(b)) {
        let scene = run[0].scene_key();
        let absent = absent.remove(&(run[0].algorithm.clone(), scene.clone())).unwrap_or_default();
        let count = distinct(run) as u32 + absent;
        let most = scenes.entry(scene).or_default();
        *most = (*most).max(count);
    }
    for ((_, scene), count) in absent {
        let most = scenes.entry(scene).or_default();
        *most = (*most).max(count);
    }
    scenes.into_iter().map(|(key, pictures)| Scene { key, pictures }).collect()
}

/// The only usual layout that every picture below the root matches, but for a few strays. Where there are only tars, the
/// members of the first one with pictures say it, so that no other is read for this.
async fn detect(root: &Store, definition: &Definition) -> Result<String, DatasetError> {
    let mut loose = Fit::of(&USUAL, definition, |_| true)?;
    let mut tars = Vec::new();
    let filter = Filter::default();
    let mut entries = files::list(root, "", &filter, |_| false);
    while let Some(entries) = entries.try_next().await? {
        for entry in entries {
            match entry {
                Entry::File(file) if files::plain_tar(&file.object.key).is_some() => tars.push(file.object),
                entry => loose.take(entry),
            }
        }
    }
    tars.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    if loose.pictures > 0 || tars.is_empty() {
        return loose.decide(root);
    }
    let enters = |layout: &Layout, key: &str| files::plain_tar(&nfc(key)).is_some_and(|tar| layout.enters(&tar));
    let mut in_tars = Fit::of(&USUAL_IN_TARS, definition, |layout| tars.iter().all(|tar| enters(layout, &tar.key)))?;
    let mut broken = None;
    for tar in &tars {
        for entry in files::open(root, tar, &filter).await? {
            match entry {
                Entry::Broken { why, .. } => broken = broken.or(Some(why)),
                entry => in_tars.take(entry),
            }
        }
        if in_tars.pictures > 0 {
            break;
        }
    }
    match broken {
        Some(broken) if in_tars.pictures == 0 => Err(broken),
        _ => in_tars.decide(root),
    }
}

/// How many pictures each of some layouts matches.
struct Fit {
    layouts: Vec<(Layout, u64)>,
    pictures: u64,
    /// A picture that none matches.
    unlike: Option<String>,
    /// The first entry that cannot be had.
    unusable: Option<String>,
}

/// Pictures beside the algorithms' folders that leave a small bare folder recognisable.
const STRAYS_MAX: u64 = 5;

impl Fit {
    fn of(texts: &[&str], definition: &Definition, is_possible: impl Fn(&Layout) -> bool) -> Result<Fit, DatasetError> {
        let layouts = texts.iter().map(|text| Layout::new(text, definition.name_in_files().as_str()));
        let mut layouts = layouts.collect::<Result<Vec<Layout>, _>>()?;
        layouts.retain(is_possible);
        let layouts = layouts.into_iter().map(|layout| (layout, 0)).collect();
        Ok(Fit { layouts, pictures: 0, unlike: None, unusable: None })
    }

    fn take(&mut self, entry: Entry) {
        let key = match entry {
            Entry::File(file) => file.object.key,
            Entry::Unusable(unusable) => {
                self.unusable.get_or_insert(format!("{} ({})", unusable.shown, unusable.why));
                return;
            }
            _ => return,
        };
        if !is_picture(&key) {
            return;
        }
        self.pictures += 1;
        let mut is_usual = false;
        for (layout, count) in &mut self.layouts {
            if layout.read(&nfc(&key)).is_some() {
                *count += 1;
                is_usual = true;
            }
        }
        if !is_usual {
            self.unlike.get_or_insert(key);
        }
    }

    /// The layout that most match, if the rest are few enough to be strays.
    fn with_strays(&self) -> Option<&Layout> {
        let (most, count) = self.layouts.iter().max_by_key(|(_, count)| *count)?;
        let is_only = self.layouts.iter().filter(|(_, other)| other == count).count() == 1;
        let strays = self.pictures - count;
        // A teaser and some figures beside a small set, or one in twenty.
        let are_few = strays <= STRAYS_MAX && strays * 2 <= *count || strays * 20 <= *count;
        (is_only && are_few).then_some(most)
    }

    /// The only layout that matches all, or all but strays.
    fn decide(self, root: &Store) -> Result<String, DatasetError> {
        let with_strays = self.with_strays().map(ToString::to_string);
        let Fit { layouts, pictures, unlike, unusable } = self;
        let undetected = |why| DatasetError::Undetected { root: root.url().to_string(), why };
        let mut whole = layouts.iter().filter(|(_, count)| *count == pictures);
        match (pictures, whole.next(), whole.next()) {
            (0, ..) => {
                let unusable = unusable.map(|unusable| format!("; it has {unusable}")).unwrap_or_default();
                Err(undetected(format!("it has no pictures{unusable}")))
            }
            (_, Some((layout, _)), None) => Ok(layout.to_string()),
            _ => {
                if let Some(layout) = with_strays {
                    return Ok(layout);
                }
                let counts = layouts.iter().filter(|(_, count)| *count > 0);
                let counts: Vec<String> = counts.map(|(layout, count)| format!("{count} as {layout}")).collect();
                let counts = if counts.is_empty() { "none in a usual way".to_owned() } else { counts.join(", ") };
                let unlike = unlike.map(|key| format!(", and there is {key}")).unwrap_or_default();
                Err(undetected(format!("of {pictures} pictures {counts}{unlike}")))
            }
        }
    }
}
