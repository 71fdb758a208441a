//! The keys of a stream's table, before they are known to make sense together.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::stream::StreamConfig;
use crate::dtype::DType;
use crate::gpu::{Handover, Placement, Sharing};
use crate::name::StreamName;
use crate::schema::Schema;
use crate::stream::Options;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    name: StreamName,
    payload: Option<Schema>,
    dtype: Option<DType>,
    shape: Option<Vec<usize>>,
    slots: Option<usize>,
    #[serde(default = "history")]
    history: usize,
    #[serde(default = "participants")]
    participants: usize,
    #[serde(default = "mode", with = "super::mode")]
    mode: u32,
    observers: Option<bool>,
    #[serde(default)]
    huge_pages: bool,
    placement: Option<Placement>,
    handover: Option<Handover>,
    sharing: Option<Sharing>,
}

fn history() -> usize {
    Options::default().history
}

fn participants() -> usize {
    Options::default().participants
}

fn mode() -> u32 {
    Options::default().mode
}

impl<'de> Deserialize<'de> for StreamConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Table)
    }
}

struct Table;

impl<'de> Visitor<'de> for Table {
    type Value = StreamConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the table of a stream")
    }

    // Keys that do not go together are found in here, not by serde's `try_from`, so that the error
    // gets the line of this table.
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<StreamConfig, A::Error> {
        let form = Form::deserialize(MapAccessDeserializer::new(map))?;
        let stream = form.name.clone();
        let config = StreamConfig::try_from(form)
            .map_err(|reason| A::Error::custom(format_args!("stream `{stream}`: {reason}")))?;
        // What `create` would refuse is refused here, where the error gets a line as well.
        config.options().check(&stream).map_err(A::Error::custom)?;
        Ok(config)
    }
}

impl TryFrom<Form> for StreamConfig {
    type Error = String;

    fn try_from(form: Form) -> Result<Self, String> {
        let payload = match (form.payload, form.dtype, form.shape) {
            (Some(payload), None, None) => Ok(payload),
            (None, Some(dtype), shape) => {
                let tensor = Schema::tensor(dtype, &shape.unwrap_or_default());
                tensor.check_size().map(|()| tensor)
            }
            (Some(_), ..) => Err("`payload` says it all; leave out `dtype` and `shape`".into()),
            (None, None, Some(_)) => Err("`shape` needs `dtype` beside it".into()),
            (None, None, None) => Err("`payload` is missing, or `dtype` and `shape`".into()),
        };
        if form.placement.is_none() && form.sharing.is_some() {
            return Err("`sharing` needs `placement` beside it".into());
        }
        if (form.handover, form.sharing) == (Some(Handover::Event), Some(Sharing::Descriptor)) {
            return Err("what is handed over by `event` is shared by `handle` alone".into());
        }
        match (form.placement, form.handover) {
            (None, Some(_)) => return Err("`handover` needs `placement` beside it".into()),
            (Some(Placement::Mirrored), Some(Handover::Event)) => {
                return Err("what is mirrored is handed over by `callback` alone".into());
            }
            _ => {}
        }
        Ok(Self {
            name: form.name,
            payload: payload?,
            slots: form.slots,
            history: form.history,
            participants: form.participants,
            mode: form.mode,
            observers: form.observers,
            huge_pages: form.huge_pages,
            placement: form.placement,
            handover: form.handover,
            sharing: form.sharing,
        })
    }
}
