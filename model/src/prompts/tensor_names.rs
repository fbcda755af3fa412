//! The names of the prompts' tensors in the authors' code: made for a tower, and taken apart.

/// Whose prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tower {
    Text,
    Visual,
}

impl Tower {
    /// The authors' names of a layer's prompts and of their linear layer, without the layer's number.
    pub(crate) fn names(self) -> (&'static str, &'static str) {
        match self {
            Tower::Text => ("prompts_text", "prompt_txt_projections"),
            Tower::Visual => ("prompts_vis", "prompt_vis_projections"),
        }
    }
}

/// A name of the authors taken apart: which tower and layer it belongs to.
pub(crate) struct Slot {
    pub(super) tower: Tower,
    pub(super) layer: usize,
}

impl Slot {
    /// `None` for a name that is not one of the authors' learnable ones.
    pub(crate) fn parse(name: &str) -> Option<Slot> {
        let parts: Vec<&str> = name.split('.').collect();
        let (kind, layer) = match parts[..] {
            [kind @ ("prompts_text" | "prompts_vis"), layer] => (kind, layer),
            [kind @ ("prompt_txt_projections" | "prompt_vis_projections"), layer, "weight" | "bias"] => (kind, layer),
            _ => return None,
        };
        let tower = if kind.contains("vis") { Tower::Visual } else { Tower::Text };
        // Layers are below 1000: what is not is another name, and no sum with it overflows.
        let number: u16 = layer.parse().ok()?;
        let plain = number < 1000 && number.to_string() == layer;
        plain.then(|| Slot { tower, layer: usize::from(number) })
    }
}
