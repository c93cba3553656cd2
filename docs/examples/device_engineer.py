"""For a device: tags from blocks of 10 ms, as a microphone gives them, and an event when a class is heard or gone.

python docs/examples/device_engineer.py [SOUND [CLASS]]
"""

import sys
import time

import soundfile
import torch

import hear_edgel3


def main() -> None:
    """A file stands for the microphone; any iterable of blocks of samples will do."""
    path = sys.argv[1] if len(sys.argv) > 1 else "docs/examples/cricket.flac"
    wanted = sys.argv[2] if len(sys.argv) > 2 else "Insect"
    torch.set_num_threads(1)
    sound = soundfile.info(path)
    tagger = hear_edgel3.Tagger()
    if wanted not in [label.name for label in tagger.labels]:
        sys.exit(f"the net has no class {wanted!r}; its classes are AudioSet's, such as Speech")
    stream = tagger.stream(sample_rate=sound.samplerate, window=1, hop=0.25)
    blocks = soundfile.blocks(path, sound.samplerate // 100, dtype="int16")
    print(f"each answer comes {stream.latency_ms:.0f} ms of audio after its time")

    heard, start = False, time.process_time()
    for window in stream.follow(blocks):
        probability = next(tag.probability for tag in window.top(527) if tag.label == wanted)
        if heard != (probability > (0.1 if heard else 0.2)):  # two thresholds, so that it does not flicker
            heard = not heard
            print(f"{window.timestamp_ms / 1000:.2f} s: {wanted} {'heard' if heard else 'gone'} ({probability:.2f})")
    used = time.process_time() - start
    print(f"{1000 * used / sound.duration:.0f} ms of one core per second of audio", file=sys.stderr)


if __name__ == "__main__":
    main()
