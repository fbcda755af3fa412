//! A picture as pages show it, and references to scenes and pictures.

/// A picture of a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// The algorithm that made it, or the name under which the hazy inputs are scored.
    pub algorithm: String,
    /// The picture's name in its data set.
    pub image: String,
    /// Width and height in pixels.
    pub size: Option<(u32, u32)>,
    /// The small JPEG: a path below the site's root ([`crate::Route::path`]). None: it cannot be shown.
    pub thumbnail: Option<String>,
    /// The picture itself: a path below the site's root, or an address (`https://...`). None: it is not at hand. It is shown where
    /// its name has the ending of a format that browsers show, and else linked.
    pub full: Option<String>,
    /// Its values, one for each metric of the page, in the page's order.
    pub scores: Vec<PictureScore>,
    /// The label.
    pub mos: Option<f64>,
}

/// What a metric says of a picture.
#[derive(Clone, Debug, PartialEq)]
pub enum PictureScore {
    /// The value, as the metric gives it.
    Value(f64),
    /// The code of the error.
    Failed(String),
    /// The metric has no row of the picture.
    Missing,
}

impl PictureScore {
    /// Returns the value, if there is one.
    pub fn value(&self) -> Option<f64> {
        match self {
            PictureScore::Value(value) => Some(*value),
            PictureScore::Failed(_) | PictureScore::Missing => None,
        }
    }
}

/// A scene of a data set.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SceneRef {
    /// The group that it is reported in.
    pub group: Option<String>,
    /// Its name in the group.
    pub name: String,
}

impl SceneRef {
    /// Returns the name for people: `group/name`, or the name alone.
    pub fn label(&self) -> String {
        self.group.as_ref().map_or_else(|| self.name.clone(), |group| format!("{group}/{}", self.name))
    }
}

/// A picture's score and label, for charts.
#[derive(Clone, Debug, PartialEq)]
pub struct ScorePoint {
    /// The algorithm that made it.
    pub algorithm: String,
    /// The scene that it shows.
    pub scene: SceneRef,
    /// The picture's name in its data set.
    pub image: String,
    /// The metric's value.
    pub score: f64,
    /// The label.
    pub mos: f64,
}
