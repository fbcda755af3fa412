//! Interprets a pickle's calls and persistent ids, with which PyTorch writes dictionaries and tensors. Nothing is
//! called: an unknown name becomes an opaque object.

use super::error::TorchError;
use super::pickle_vm::{OPCODES_MAX, PickleVm};
use super::tensor_rebuild;
use super::value::{Id, Node, PickledObject};

impl PickleVm<'_> {
    /// Pushes the storage that a persistent id of PyTorch's pickles refers to. Any other persistent id becomes opaque.
    pub(super) fn persistent(&mut self, id: Id) -> Result<(), TorchError> {
        let node = match &self.nodes[id as usize] {
            Node::Tuple(parts) => match parts.first().map(|part| &self.nodes[*part as usize]) {
                Some(Node::Str("storage")) => {
                    let storage = tensor_rebuild::storage(&self.nodes, parts)
                        .ok_or_else(|| self.wrong("a storage is malformed"))?;
                    Node::Storage(Box::new(storage))
                }
                // PyTorch before 1.6 writes a module's class with its source text.
                Some(Node::Str("module")) if parts.len() > 1 => {
                    self.stack.push(parts[1]);
                    return Ok(());
                }
                _ => Node::Opaque,
            },
            _ => Node::Opaque,
        };
        self.push(node);
        Ok(())
    }

    /// Pushes the result of a call if PyTorch writes data with this class or function, and an opaque object otherwise.
    pub(super) fn call(&mut self, mut function: Id, mut arguments: Id) -> Result<(), TorchError> {
        loop {
            let parts: &[Id] = match &self.nodes[arguments as usize] {
                Node::Tuple(parts) => parts,
                _ => return Err(self.wrong("a call has no arguments")),
            };
            let Node::Global(module, name) = self.nodes[function as usize] else {
                self.push(Node::Object(Box::<PickledObject>::default()));
                return Ok(());
            };
            let node = match (module, name) {
                ("collections", "OrderedDict" | "defaultdict" | "Counter") | ("builtins" | "__builtin__", "dict") => {
                    let pairs = listed_pairs(&self.nodes, parts);
                    self.copied += pairs.len();
                    if self.copied > OPCODES_MAX {
                        return Err(TorchError::Limit(format!(
                            "dictionaries are copied more than {OPCODES_MAX} times"
                        )));
                    }
                    Node::Dict(pairs)
                }
                ("torch._utils", rebuild @ ("_rebuild_tensor" | "_rebuild_tensor_v2" | "_rebuild_tensor_v3")) => {
                    match tensor_rebuild::tensor(&self.nodes, rebuild, parts) {
                        Ok(Some(tensor)) => Node::Tensor(Box::new(tensor)),
                        Ok(None) => Node::Opaque,
                        Err(why) => return Err(self.wrong(why)),
                    }
                }
                // These return their first argument.
                ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state")
                | ("torch", "Size")
                | ("torch.jit._pickle", _) => match parts.first() {
                    Some(first) => {
                        self.stack.push(*first);
                        return Ok(());
                    }
                    None => Node::Opaque,
                },
                // (function, type, arguments, state): a tensor of a subclass. Only the tensor is kept.
                ("torch._tensor", "_rebuild_from_type_v2") if parts.len() == 4 => {
                    (function, arguments) = (parts[0], parts[2]);
                    // The loop repeats at most once, because no function of this module is accepted again.
                    match self.nodes[function as usize] {
                        Node::Global("torch._tensor", _) => Node::Opaque,
                        _ => continue,
                    }
                }
                _ => Node::Object(Box::<PickledObject>::default()),
            };
            self.push(node);
            return Ok(());
        }
    }
}

/// Returns the pairs in `[(key, value), ...]`, the last argument, if a dictionary can be made of it.
fn listed_pairs(nodes: &[Node<'_>], arguments: &[Id]) -> Vec<(Id, Id)> {
    let Some(last) = arguments.last() else { return Vec::new() };
    match &nodes[*last as usize] {
        Node::Dict(pairs) => pairs.clone(),
        Node::List(list) => {
            let pair = |id: &Id| match &nodes[*id as usize] {
                Node::Tuple(pair) if pair.len() == 2 => Some((pair[0], pair[1])),
                Node::List(pair) if pair.len() == 2 => Some((pair[0], pair[1])),
                _ => None,
            };
            list.iter().filter_map(pair).collect()
        }
        _ => Vec::new(),
    }
}
