"""Makes the wheel, so that nothing has to be fetched to install the package."""

import pathlib
import zipfile

ABOUT = "cnn_jax_example-1.2.dist-info"
FILES = {
    f"{ABOUT}/METADATA": "Metadata-Version: 2.1\nName: cnn-jax-example\nVersion: 1.2\n",
    f"{ABOUT}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    f"{ABOUT}/entry_points.txt": "[cnn_jax.plugins]\nexample = cnn_jax_example:register_all\n",
}


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    name = "cnn_jax_example-1.2-py3-none-any.whl"
    held = FILES | {"cnn_jax_example.py": pathlib.Path("cnn_jax_example.py").read_text()}
    record = "".join(f"{file},,\n" for file in [*held, f"{ABOUT}/RECORD"])
    with zipfile.ZipFile(pathlib.Path(wheel_directory, name), "w") as wheel:
        for file, text in {**held, f"{ABOUT}/RECORD": record}.items():
            wheel.writestr(file, text)
    return name
