//! The drawings of pictures: each map over its picture, and a sheet with all maps of all pictures.

use dqa_model::{AttentionMap, Explanation, Rgb8};
use image::RgbImage;

use super::draw::{self, Panel};
use super::{AttentionLayer, Map, MapOptions, Maps, Scale};

/// A rendered map or sheet.
pub struct Drawing {
    /// `sheet`, `whole`, `windows` or `scores`.
    pub name: &'static str,
    picture: RgbImage,
}

impl Drawing {
    /// Returns the drawing as a PNG file.
    pub fn png(&self) -> Vec<u8> {
        draw::png(&self.picture)
    }
}

/// A picture with its maps.
pub struct DrawnPicture {
    /// Each map over the picture, in the picture's size.
    pub maps: Vec<Drawing>,
    /// The picture and its maps with captions.
    panels: Vec<Panel>,
}

impl DrawnPicture {
    /// Draws the maps of a picture. `name` is its name in the caption.
    pub fn new(name: &str, picture: &Rgb8, explained: &Explanation, options: &MapOptions) -> DrawnPicture {
        let maps = Maps::new(explained, options, (picture.width(), picture.height()));
        let windows = explained.windows.len();
        let caption = format!("{}: score {:.4}", short(name), explained.score.score);
        let mut drawn = DrawnPicture {
            maps: Vec::new(),
            panels: vec![Panel { caption, picture: draw::to_image(picture), scale: None }],
        };
        let share = |part: fn(&AttentionMap) -> &Vec<f32>| {
            let sum = |window| part(options.layer.select(window)).iter().sum::<f32>();
            let drawn = &explained.windows[options.windows(windows)];
            100.0 * drawn.iter().map(sum).sum::<f32>() / drawn.len() as f32
        };
        let caption = format!("attention on the whole picture: {:.0}%", share(|attention| &attention.whole));
        drawn.add("whole", picture, maps.whole, (caption, ScaleKind::Attention), options.scale);
        let which = match (options.window, windows) {
            (Some(window), _) => format!("window {}", window + 1),
            (None, 1) => "window".to_owned(),
            (None, _) => "windows".to_owned(),
        };
        let the = if options.window.is_some() { "" } else { "the " };
        let caption = format!("attention on {the}{which}: {:.0}%", share(|attention| &attention.window));
        drawn.add("windows", picture, maps.windows, (caption, ScaleKind::Attention), options.scale);
        let caption = match (options.window, windows) {
            (None, 2..) => "scores of the windows".to_owned(),
            _ => format!("score of {the}{which}"),
        };
        drawn.add("scores", picture, maps.scores, (caption, ScaleKind::Score), options.scale);
        drawn
    }

    fn add(
        &mut self,
        name: &'static str,
        picture: &Rgb8,
        map: Option<Map>,
        (caption, kind): (String, ScaleKind),
        scale: Scale,
    ) {
        let Some(map) = map else { return };
        let (range, labels) = kind.range_and_labels(&map, scale);
        let overlay = draw::overlay(picture, &map, range);
        self.panels.push(Panel { caption, picture: overlay.clone(), scale: Some(labels) });
        self.maps.push(Drawing { name, picture: overlay });
    }
}

/// What a map's colours stand for.
#[derive(Clone, Copy)]
enum ScaleKind {
    /// Multiples of an even share of the attention.
    Attention,
    /// Scores.
    Score,
}

/// The largest attention of the fixed scale, in even shares: an even share then has the colour in the middle.
const ATTENTION_MAX: f32 = 2.0;

impl ScaleKind {
    /// Returns the values at the two ends of the colours, with their labels.
    fn range_and_labels(self, map: &Map, scale: Scale) -> ((f32, f32), (String, String)) {
        let (low, high) = match (scale, self) {
            (Scale::Fixed, ScaleKind::Attention) => (0.0, ATTENTION_MAX),
            (Scale::Fixed, ScaleKind::Score) => (0.0, 1.0),
            (Scale::Auto, _) => map.range(),
        };
        let labels = match (self, scale) {
            (ScaleKind::Attention, Scale::Fixed) => ("none".to_owned(), "twice an even share or more".to_owned()),
            (ScaleKind::Attention, Scale::Auto) => (format!("{low:.2}"), format!("{high:.2} times an even share")),
            (ScaleKind::Score, Scale::Fixed) => ("0 (bad)".to_owned(), "1 (good)".to_owned()),
            (ScaleKind::Score, Scale::Auto) => (format!("{low:.4}"), format!("{high:.4}")),
        };
        ((low, high), labels)
    }
}

/// The most characters of a picture's name in a caption, which must fit above a small picture.
const NAME_MAX: usize = 24;

/// Returns the name, or its end if it is long: the ends of files' names differ more than their beginnings.
fn short(name: &str) -> String {
    let count = name.chars().count();
    match count.checked_sub(NAME_MAX) {
        None | Some(0) => name.to_owned(),
        Some(more) => format!("...{}", name.chars().skip(more + 3).collect::<String>()),
    }
}

/// Returns the sheet of some pictures: one picture in two rows, several with a row for each.
///
/// # Panics
/// If there is no picture.
pub fn sheet(drawn: &[DrawnPicture], explained: &Explanation, options: &MapOptions) -> Drawing {
    let layer = match options.layer {
        AttentionLayer::Rollout => "Attention through all layers".to_owned(),
        AttentionLayer::Layer(index) => {
            format!("Attention in layer {} of {}", index + 1, explained.windows[0].layers.len())
        }
    };
    let columns = if drawn.len() == 1 { 2 } else { drawn[0].panels.len() as u32 };
    let panels: Vec<&Panel> = drawn.iter().flat_map(|drawn| &drawn.panels).collect();
    Drawing { name: "sheet", picture: draw::sheet(&layer, &panels, columns) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_scale_is_the_same_for_all_maps() {
        let map = |values: [f32; 2]| Map { width: 2, height: 1, values: values.to_vec() };
        let range = |map: &Map, scale| ScaleKind::Score.range_and_labels(map, scale).0;
        let (low, high) = (map([0.2312, 0.2409]), map([0.8, 0.9]));
        assert_eq!([range(&low, Scale::Fixed), range(&high, Scale::Fixed)], [(0.0, 1.0); 2]);
        assert_ne!(range(&low, Scale::Auto), range(&high, Scale::Auto));
    }

    #[test]
    fn a_long_name_keeps_its_end() {
        assert_eq!(short("0001.png"), "0001.png");
        let long = short("a_very_long_name_of_a_picture/0001.png");
        assert!(long.starts_with("...") && long.ends_with("picture/0001.png"), "{long}");
        assert_eq!(long.len(), NAME_MAX);
    }
}
