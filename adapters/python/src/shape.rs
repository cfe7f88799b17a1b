//! How each plane looks as an array: shape, strides and type of its samples, after the table of formats.

use camlane::format::{FormatInfo, Group};
use camlane::{FrameLayout, Plane};

/// An array inside a frame's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shape {
    /// Bytes from the beginning of the frame.
    pub(crate) offset: usize,
    dims: usize,
    shape: [isize; 3],
    strides: [isize; 3],
    pub(crate) item: Item,
}

/// The type of a sample, as numpy's typestr spells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Item {
    /// `u` or `f`.
    pub(crate) kind: u8,
    /// Bytes.
    pub(crate) size: usize,
}

impl Item {
    pub(crate) const BYTE: Self = Self { kind: b'u', size: 1 };

    fn of(info: &FormatInfo) -> Self {
        match info.numpy {
            "<u2" => Self { kind: b'u', size: 2 },
            "<f4" => Self { kind: b'f', size: 4 },
            _ => Self::BYTE,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match (self.kind, self.size) {
            (b'u', 1) => "uint8",
            (b'u', 2) => "uint16",
            (b'f', 4) => "float32",
            (b'f', 8) => "float64",
            (b'i', 4) => "int32",
            (b'i', 8) => "int64",
            _ => "another type",
        }
    }
}

impl Shape {
    fn new(offset: u32, shape: &[usize], strides: &[usize], item: Item) -> Self {
        let wide = |from: &[usize]| {
            let mut out = [0; 3];
            out.iter_mut().zip(from).for_each(|(out, from)| *out = *from as isize);
            out
        };
        Self { offset: offset as usize, dims: shape.len(), shape: wide(shape), strides: wide(strides), item }
    }

    /// `len` bytes from the beginning.
    pub(crate) fn bytes(offset: u32, len: usize) -> Self {
        Self::new(offset, &[len], &[1], Item::BYTE)
    }

    /// Rows of `channels` bytes per pixel without padding; none means one without an axis of its own.
    pub(crate) fn picture(width: u32, height: u32, channels: Option<usize>) -> Self {
        let (width, height, bytes) = (width as usize, height as usize, channels.unwrap_or(1));
        match channels {
            None => Self::new(0, &[height, width], &[width, 1], Item::BYTE),
            Some(_) => Self::new(0, &[height, width, bytes], &[width * bytes, bytes, 1], Item::BYTE),
        }
    }

    pub(crate) fn shape(&self) -> &[isize] {
        &self.shape[..self.dims]
    }

    pub(crate) fn strides(&self) -> &[isize] {
        &self.strides[..self.dims]
    }

    /// Bytes of real samples in a row; all bytes of an array with one axis.
    pub(crate) fn row_bytes(&self) -> usize {
        let inner = if self.dims == 1 { self.shape() } else { &self.shape()[1..] };
        inner.iter().product::<isize>() as usize * self.item.size
    }

    /// Rows and the bytes between their beginnings; an array with one axis is one row.
    pub(crate) fn rows(&self) -> (usize, usize) {
        if self.dims == 1 {
            (1, self.row_bytes())
        } else {
            (self.shape[0] as usize, self.strides[0] as usize)
        }
    }
}

/// The array of plane `index`. The layout was checked.
pub(crate) fn plane(layout: &FrameLayout, index: usize) -> Option<Shape> {
    let Plane { offset, stride, rows, bytes } = *layout.planes().get(index)?;
    let Some(info) = layout.format.info().filter(|info| info.has_rows()) else {
        return Some(Shape::bytes(offset, bytes as usize));
    };
    let item = Item::of(info);
    let (stride, rows) = (stride as usize, rows as usize);
    let columns =
        if index == 0 { layout.width } else { layout.width.div_ceil(info.chroma.0.into()) } as usize;
    let Group { pixels, bytes } = info.groups[index];
    let pixel = usize::from(bytes / pixels);
    Some(if bytes % pixels != 0 {
        // Packed bits have no element of their own: the rows as they are.
        Shape::new(offset, &[rows, stride], &[stride, 1], Item::BYTE)
    } else if pixel == item.size {
        Shape::new(offset, &[rows, columns], &[stride, item.size], item)
    } else {
        Shape::new(offset, &[rows, columns, pixel / item.size], &[stride, pixel, item.size], item)
    })
}

/// The one array that shows the whole frame: its only plane, or luma with the chroma right below it, `(3H/2, W)` for NV12
/// and I420, as OpenCV's `cvtColor` wants it. `None` if it would show anything else: a wrong view is a green picture, not
/// an error.
pub(crate) fn whole(layout: &FrameLayout) -> Option<Shape> {
    let [luma, chroma @ ..] = layout.planes() else { return None };
    if chroma.is_empty() {
        return plane(layout, 0);
    }
    let info = layout.format.info()?;
    let item = Item::of(info);
    let width = layout.width as usize * item.size;
    let even = layout.width.is_multiple_of(info.chroma.0.into())
        && layout.height.is_multiple_of(info.chroma.1.into());
    let one_stride = chroma.iter().all(|plane| plane.stride == luma.stride);
    let one_width = (1..=chroma.len()).all(|index| layout.row_bytes(index) as usize == width);
    let follows = layout.planes().windows(2).all(|pair| pair[1].offset == pair[0].offset + pair[0].bytes);
    let stride = luma.stride as usize;
    let total: usize = layout.planes().iter().map(|plane| plane.bytes as usize).sum();
    let packed = layout.is_packed() && total.is_multiple_of(width);
    (even && follows && (one_stride && one_width || packed)).then(|| {
        Shape::new(luma.offset, &[total / stride, layout.width as usize], &[stride, item.size], item)
    })
}
