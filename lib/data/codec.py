"""Video compression in memory: 8-bit planes through H.264 or HEVC and back, as a camera stores them (PyAV, FFmpeg).

One thread and no B frames, so that the same planes give the same bytes with the same version of PyAV.
"""

from fractions import Fraction

import av

# The presets are the fastest ones that keep deblocking and prediction as a camera's encoder has them.
_X264 = {"preset": "veryfast", "tune": "zerolatency", "bf": "0", "g": "999", "sc_threshold": "0"}
_X265 = {"preset": "superfast"}
_X265_PARAMS = "pools=none:frame-threads=1:log-level=none:bframes=0:keyint=999:scenecut=0"
CODECS = {"h264": ("libx264", _X264), "hevc": ("libx265", {**_X265, "x265-params": _X265_PARAMS})}


def compress(planes, codec="h264", crf=33):
    """Compress successive frames as one group of pictures: one intra frame, then predicted frames.

    Args:
        planes (list of (3 H / 2, W) uint8, H and W even): frames in the I420 layout of OpenCV, limited range.
        codec ("h264" or "hevc"): the standard.
        crf (int, 0 to 51): constant rate factor; 23 is the encoder's default, more is a lower rate.

    Returns:
        List of arrays of the same shape: what a decoder shows of them.
    """
    if not planes:
        return []
    name, options = CODECS[codec]
    encoder = av.CodecContext.create(name, "w")
    rows, encoder.width = planes[0].shape
    encoder.height, encoder.pix_fmt, encoder.time_base = rows * 2 // 3, "yuv420p", Fraction(1, 30)
    encoder.thread_count, encoder.options = 1, {**options, "crf": str(crf)}
    packets = []
    for number, each in enumerate(planes):
        frame = av.VideoFrame.from_ndarray(each, "yuv420p")
        frame.pts = number
        packets += encoder.encode(frame)
    decoder = av.CodecContext.create(codec, "r")
    decoder.thread_count = 1
    return [
        frame.to_ndarray() for packet in (*packets, *encoder.encode(None), None) for frame in decoder.decode(packet)
    ]
