"""A small data set of tensorflow-datasets, of a module because a builder in `__main__` fails."""

import tensorflow_datasets as tfds


class HaikuCollection(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.2.0")

    def _info(self):
        features = {"text": tfds.features.Text(), "author": tfds.features.Text()}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(4), "test": self._generate_examples(2)}

    def _generate_examples(self, count):
        for i in range(count):
            yield str(i), {"text": f"old pond {i}\na frog leaps in: 古池や", "author": "Bashō"}
