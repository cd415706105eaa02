"""The precautions of the methods, each with an edit of the source that takes it out and the tests that must then fail.

An edit replaces a text that its file has exactly once. It takes the precaution out where the task uses it, so that a
test of the function alone is not enough.
"""

from __future__ import annotations

from typing import NamedTuple

CODE, TESTS = "tf_spot/baselines", "tests/baselines"


class Precaution(NamedTuple):
    """One precaution of one method.

    method: as `tf-spot compare` names it.
    name: the precaution in a few words, as in docs/methods.md.
    file: of the source, from the root.
    text: what the edit replaces, exactly once in the file.
    instead: what it is replaced by.
    tests: ids, FILE::FUNCTION, of which at least one must fail.
    """

    method: str
    name: str
    file: str
    text: str
    instead: str
    tests: tuple[str, ...]


PRECAUTIONS = [
    # --- this project's own -------------------------------------------------------------------------------------------
    Precaution(
        "spot", "real images are autoencoded too", "tf_spot/models/spotter.py",
        'return images if self.real_images == "original" else corrupted.decoded',
        "return images",
        ("tests/models/test_spotter.py::test_real_images",),
    ),
    Precaution(
        "spot", "repair changes dropped cells alone", "tf_spot/models/layers.py",
        "return inputs + (1 - keep_mask) * residual if self.gated else inputs + residual",
        "return inputs + residual",
        ("tests/models/test_spotter.py::test_gate_keeps_the_repair_out_of_kept_cells",),
    ),
    # --- the older methods --------------------------------------------------------------------------------------------
    Precaution(
        "inpainting", "the border of the hole stays visible", f"{CODE}/inpainting.py",
        "    first = (size - hole_size(size)) // 2 + border_size(size)\n"
        "    last = first + hole_size(size) - 2 * border_size(size)\n",
        "    first = (size - hole_size(size)) // 2\n    last = first + hole_size(size)\n",
        (f"{TESTS}/test_inpainting.py::test_the_hole_hides_the_middle_but_its_border",),
    ),
    Precaution(
        "inpainting", "the border weighs more", f"{CODE}/inpainting.py",
        "squares * border_weights(self.image_size)",
        "squares",
        (f"{TESTS}/test_inpainting.py::test_a_miss_on_the_border_costs_ten_times_as_much",),
    ),
    Precaution(
        "context", "gaps", f"{CODE}/context.py",
        "gap, margin = size // 2, (image_size - 3 * size - 2 * (size // 2)) // 2",
        "gap, margin = 0, (image_size - 3 * size) // 2",
        (f"{TESTS}/test_context.py::test_context_patches_never_touch_and_lie_in_the_image",),
    ),
    Precaution(
        "context", "jitter", f"{CODE}/context.py",
        "example_uniform(self.seed, 22, step, batch, (len(GRID), 2))",
        "tf.fill((batch, len(GRID), 2), 0.5)",
        (f"{TESTS}/test_context.py::test_every_patch_of_the_task_is_moved_by_itself",),
    ),
    Precaution(
        "context", "pairs from all over the photo", f"{CODE}/context.py",
        "for first in GRID\n",
        "for first in GRID[4:5]\n",
        (f"{TESTS}/test_context.py::test_every_patch_makes_a_pair_with_each_neighbour_in_both_orders",),
    ),
    Precaution(
        "context", "dropped colours", f"{CODE}/context.py",
        "        patches = drop_colours(patches, tf.reshape(kept, (-1,)), tf.reshape(noise, tf.shape(patches)))\n",
        "",
        (f"{TESTS}/test_context.py::test_every_patch_of_the_task_keeps_one_channel",),
    ),
    Precaution(
        "context", "patches normalised one by one", f"{CODE}/context.py",
        "patches = normalised(tf.reshape(cut(images, corners, size), (-1, size, size, 3)))",
        "patches = tf.reshape(cut(images, corners, size), (-1, size, size, 3))",
        (f"{TESTS}/test_context.py::test_patches_are_normalised_one_by_one",),
    ),
    Precaution(
        "jigsaw", "gaps", f"{CODE}/jigsaw.py",
        "return image_size // 3 * 64 // 75",
        "return image_size // 3",
        (f"{TESTS}/test_jigsaw.py::test_jigsaw_tiles_stay_in_their_cells",),
    ),
    Precaution(
        "jigsaw", "gaps of varying width", f"{CODE}/jigsaw.py",
        "example_uniform(self.seed, 32, step, batch, (9, 2))",
        "tf.fill((batch, 9, 2), 0.5)",
        (f"{TESTS}/test_jigsaw.py::test_every_tile_of_the_task_lies_anywhere_in_its_cell",),
    ),
    Precaution(
        "jigsaw", "tiles normalised one by one", f"{CODE}/jigsaw.py",
        "flat = normalised(tf.reshape(shuffled, (-1, size, size, 3)))",
        "flat = tf.reshape(shuffled, (-1, size, size, 3))",
        (f"{TESTS}/test_jigsaw.py::test_every_tile_of_the_task_is_normalised",),
    ),
    Precaution(
        "jigsaw", "some images grey", f"{CODE}/jigsaw.py",
        "        images = tf.where(grey, tf.reduce_mean(images, axis=-1, keepdims=True), images)\n",
        "",
        (f"{TESTS}/test_jigsaw.py::test_some_images_are_grey",),
    ),
    Precaution(
        "jigsaw", "permutations far apart", f"{CODE}/jigsaw.py",
        "chosen.append(int(np.argmax(smallest * 1_000_000 + total)))",
        "chosen.append(len(chosen))",
        (f"{TESTS}/test_jigsaw.py::test_permutations_are_far_apart",),
    ),
    Precaution(
        "rotation", "no interpolation", f"{CODE}/rotation.py",
        "tf.image.rot90(images, turns) for turns",
        'tf.image.rot90(tf.nn.avg_pool2d(images, 2, 1, "SAME") if turns else images, turns) for turns',
        (f"{TESTS}/test_rotation.py::test_four_rotations_are_quarter_turns_counter_clockwise",),
    ),
    Precaution(
        "colorization", "the backbone sees no colour", f"{CODE}/colorization.py",
        "self.backbone(grey(images), training=training)",
        "self.backbone(images, training=training)",
        (f"{TESTS}/test_colorization.py::test_no_colour_reaches_the_backbone",),
    ),
    Precaution(
        "colorization", "rare colours weigh more", f"{CODE}/colorization.py",
        "tf.reduce_mean(losses * rarity(bins))",
        "tf.reduce_mean(losses)",
        (f"{TESTS}/test_colorization.py::test_rare_colours_weigh_more_in_the_loss",),
    ),
    Precaution(
        "simclr", "crops", f"{CODE}/two_views.py",
        "return recoloured(cropped(images, draws[:4]), draws[4:])",
        "return recoloured(images, draws[4:])",
        (f"{TESTS}/test_two_views.py::test_views_are_cropped_and_recoloured",),
    ),
    Precaution(
        "simclr", "colour jitter", f"{CODE}/two_views.py",
        "return recoloured(cropped(images, draws[:4]), draws[4:])",
        "return cropped(images, draws[:4])",
        (f"{TESTS}/test_two_views.py::test_views_are_cropped_and_recoloured",),
    ),
    # --- the newer methods --------------------------------------------------------------------------------------------
    Precaution(
        "split-brain", "the lightness half sees no colour", "tf_spot/models/backbones/lab_halves.py",
        "lightness = tf.repeat(values[..., :1] * 2.55, 3, axis=-1)",
        "lightness = pixels",
        (f"{TESTS}/test_split_brain.py::test_no_half_sees_its_own_target",),
    ),
    Precaution(
        "split-brain", "the colour half sees no lightness", "tf_spot/models/backbones/lab_halves.py",
        "tf.fill(tf.shape(colours[..., :1]), 127.5)",
        "values[..., :1] * 2.55",
        (f"{TESTS}/test_split_brain.py::test_no_half_sees_its_own_target",),
    ),
    Precaution(
        "split-brain", "each half is asked for the other's input", f"{CODE}/split_brain.py",
        "from_lightness, from_colour = tf.split",
        "from_colour, from_lightness = tf.split",
        (f"{TESTS}/test_split_brain.py::test_each_half_is_asked_for_what_the_other_one_sees",),
    ),
    Precaution(
        "counting", "a margin to another photo's counts", f"{CODE}/counting.py",
        "tf.reduce_mean(same + tf.nn.relu(MARGIN - other))",
        "tf.reduce_mean(same)",
        (f"{TESTS}/test_counting.py::test_counting_nothing_is_no_solution",),
    ),
    Precaution(
        "counting", "the margin acts from the first step", f"{CODE}/counting.py",
        "return UNIT * tf.nn.relu(",
        "return tf.nn.relu(",
        (f"{TESTS}/test_counting.py::test_the_margin_acts_from_the_first_step",),
    ),
    Precaution(
        "counting", "a way of downsampling for each photo", f"{CODE}/counting.py",
        "methods = whole_numbers(example_uniform(self.seed, 52, step, batch, ()), len(DOWNSAMPLINGS))",
        "methods = tf.zeros((batch,), tf.int32)",
        (f"{TESTS}/test_counting.py::test_the_whole_is_made_smaller_in_three_ways",),
    ),
    Precaution(
        "counting", "no way of downsampling blurs", f"{CODE}/counting.py",
        "tf.image.resize(images, (half, half), method)",
        "tf.image.resize(images, (half, half), method, antialias=True)",
        (f"{TESTS}/test_counting.py::test_downsampling_keeps_what_antialiasing_takes",),
    ),
    Precaution(
        "counting", "most batches grey", f"{CODE}/counting.py",
        "        images = tf.where(grey, tf.reduce_mean(images, axis=-1, keepdims=True), images)\n",
        "",
        (f"{TESTS}/test_counting.py::test_most_batches_are_grey_all_photos_or_none",),
    ),
    Precaution(
        "counting", "grey for a whole batch or none of it", f"{CODE}/counting.py",
        "grey = global_uniform(self.seed, 51, step, 1, ())[0] < GREY_SHARE",
        "grey = example_uniform(self.seed, 51, step, batch, (1, 1, 1)) < GREY_SHARE",
        (f"{TESTS}/test_counting.py::test_most_batches_are_grey_all_photos_or_none",),
    ),
    Precaution(
        "counting", "pictures normalised one by one", f"{CODE}/counting.py",
        "self.counts(normalised(pictures), training)",
        "self.counts(pictures, training)",
        (f"{TESTS}/test_counting.py::test_every_picture_is_normalised",),
    ),
    Precaution(
        "exemplar", "patches where the gradients are", f"{CODE}/transformed_patches.py",
        "drawn_centres(gradient_energy(images, patch), ",
        "drawn_centres(tf.ones_like(gradient_energy(images, patch)), ",
        (f"{TESTS}/test_transformed_patches.py::test_the_patches_of_a_photo_hold_what_is_in_it",),
    ),
    Precaution(
        "exemplar", "strong translation", f"{CODE}/transformed_patches.py",
        "TRANSLATION = 0.2",
        "TRANSLATION = 0.02",
        (f"{TESTS}/test_transformed_patches.py::test_patches_are_moved_and_scaled_as_drawn",),
    ),
    Precaution(
        "exemplar", "strong scaling", f"{CODE}/transformed_patches.py",
        "SCALE = (0.7, 1.4)",
        "SCALE = (0.97, 1.04)",
        (f"{TESTS}/test_transformed_patches.py::test_patches_are_moved_and_scaled_as_drawn",),
    ),
    Precaution(
        "exemplar", "strong rotation", f"{CODE}/transformed_patches.py",
        "ROTATION = math.radians(20)",
        "ROTATION = math.radians(2)",
        (f"{TESTS}/test_transformed_patches.py::test_patches_are_turned_as_drawn",),
    ),
    Precaution(
        "exemplar", "strong contrast, of the mean colour too", f"{CODE}/transformed_patches.py",
        'projected = tf.einsum("bhwc,kc->bhwk", patches, components) * factors[:, None, None, :]\n'
        '    rgb = (tf.einsum("bhwk,kc->bhwc", projected, components) + 1) / 2',
        "mean = tf.reduce_mean(patches, axis=(1, 2), keepdims=True)\n"
        '    projected = tf.einsum("bhwc,kc->bhwk", patches - mean, components) * factors[:, None, None, :]\n'
        '    rgb = (mean + tf.einsum("bhwk,kc->bhwc", projected, components) + 1) / 2',
        (f"{TESTS}/test_transformed_patches.py::test_the_mean_colour_changes_with_the_contrast",),
    ),
    Precaution(
        "exemplar", "strong changes of saturation and value", f"{CODE}/transformed_patches.py",
        "    saturation, value = _curved(saturation, draws[3:6]), _curved(value, draws[6:9])\n",
        "",
        (f"{TESTS}/test_transformed_patches.py::test_every_draw_changes_the_colours",),
    ),
    Precaution(
        "exemplar", "strong changes of hue", f"{CODE}/transformed_patches.py",
        "    hue = tf.math.floormod(hue + HUE * (2 * draws[9][:, None, None] - 1), 1.0)\n",
        "",
        (f"{TESTS}/test_transformed_patches.py::test_every_draw_changes_the_colours",),
    ),
    Precaution(
        "exemplar", "patches are recoloured at all", f"{CODE}/transformed_patches.py",
        "patches.append(recoloured(moved(images, centres, draws[:4], patch), draws[4:]))",
        "patches.append(moved(images, centres, draws[:4], patch))",
        (f"{TESTS}/test_transformed_patches.py::test_transformed_photos_cannot_be_told_by_their_mean_colour",),
    ),
    Precaution(
        "noise-as-targets", "points never move", f"{CODE}/noise_as_targets.py",
        'self.add_weight(name="points", shape=(self.classes, TARGET_SIZE), **weight)',
        'self.add_weight(name="points", shape=(self.classes, TARGET_SIZE), **weight | {"trainable": True})',
        (f"{TESTS}/test_noise_as_targets.py::test_training_exchanges_points_and_nothing_else",),
    ),
    Precaution(
        "noise-as-targets", "points are exchanged one to one", f"{CODE}/noise_as_targets.py",
        "_, columns = linear_sum_assignment(similarities[np.ix_(first, first)], maximize=True)",
        "columns = similarities[np.ix_(first, first)].argmax(axis=1)",
        (f"{TESTS}/test_noise_as_targets.py::test_training_exchanges_points_and_nothing_else",),
    ),
    Precaution(
        "noise-as-targets", "gradients instead of colours", f"{CODE}/gradient_images.py",
        "return self.inner.of_parts([gradients(part) for part in parts], training, update_statistics)",
        "return self.inner.of_parts(parts, training, update_statistics)",
        (f"{TESTS}/test_noise_as_targets.py::test_the_network_sees_gradients_in_training_and_what_transfers_does_too",),
    ),
    Precaution(
        "noise-as-targets", "gradients in exported models too", f"{CODE}/gradient_images.py",
        "return self.inner.of_pixels(gradients(pixels), training, update_statistics)",
        "return self.inner.of_pixels(pixels, training, update_statistics)",
        (f"{TESTS}/test_gradient_images.py::test_an_exported_model_sees_gradients_too",),
    ),
    Precaution(
        "bigan", "labels swapped for encoder and generator", f"{CODE}/bigan.py",
        "tf.reduce_mean(tf.nn.softplus(photo) + tf.nn.softplus(-generated))",
        "-tf.reduce_mean(tf.nn.softplus(-photo) + tf.nn.softplus(generated))",
        (f"{TESTS}/test_bigan.py::test_losses_by_hand",),
    ),
    Precaution(
        "bigan", "the discriminator sees the codes", f"{CODE}/bigan.py",
        "tf.nn.leaky_relu(self.of_code(codes), SLOPE)",
        "0.0 * self.of_code(codes)",
        (f"{TESTS}/test_bigan.py::test_pairs_are_photo_and_code_and_image_and_noise",),
    ),
    Precaution(
        "lci", "a narrow border", f"{CODE}/lci.py",
        "return max(1, size // 16)",
        "return max(1, size // 4)",
        (f"{TESTS}/test_lci.py::test_the_inpainter_sees_a_narrow_border_alone",),
    ),
    Precaution(
        "lci", "the inpainter does not see the inside", f"{CODE}/lci.py",
        "erased = with_inside(patches, example_uniform(self.seed, 72, step, batch, (size, size, 3)))",
        "erased = patches",
        (f"{TESTS}/test_lci.py::test_the_inpainter_sees_a_narrow_border_alone",),
    ),
    Precaution(
        "lci", "the inpainter plays against a discriminator", f"{CODE}/lci.py",
        "RECONSTRUCTION_WEIGHT * (seen + copied) - tf.reduce_mean(fake)",
        "RECONSTRUCTION_WEIGHT * (seen + copied)",
        (f"{TESTS}/test_lci.py::test_the_game_by_hand",),
    ),
    Precaution(
        "lci", "the discriminator sees two patches", f"{CODE}/lci.py",
        "tf.concat([patches, tf.roll(patches, 1, axis=0)], axis=-1)",
        "tf.concat([patches, patches], axis=-1)",
        (f"{TESTS}/test_lci.py::test_the_discriminator_sees_two_patches_of_a_kind",),
    ),
    Precaution(
        "lci", "the discriminator's kernels have norm one", f"{CODE}/patch_networks.py",
        "kernel / self.largest_singular_value(training)",
        "kernel",
        (f"{TESTS}/test_patch_networks.py::test_a_spectral_convolution_has_the_norm_one",),
    ),
    Precaution(
        "lci", "the inpainter plays against the classifier", f"{CODE}/lci.py",
        "pasted(images, opposed(x), corners)",
        "pasted(images, x, corners)",
        (f"{TESTS}/test_lci.py::test_the_inpainter_plays_against_the_classifier",),
    ),
    Precaution(
        "lci", "an autoencoded patch in half of the others", f"{CODE}/lci.py",
        "photos = [tf.where(half, coded_photos, images), filled_photos, images]",
        "photos = [images, filled_photos, images]",
        (f"{TESTS}/test_lci.py::test_half_of_the_photos_carry_the_traces_of_the_same_network",),
    ),
    Precaution(
        "lci", "one interpolation for all", f"{CODE}/lci.py",
        "unchanged, inpainted, warped = (sampled(*pair) for pair in zip(photos, points, strict=True))",
        "points = [tf.round(points[0]), tf.round(points[1]), points[2]]\n"
        "        unchanged, inpainted, warped = (sampled(*pair) for pair in zip(photos, points, strict=True))",
        (f"{TESTS}/test_lci.py::test_every_class_is_interpolated_alike",),
    ),
    Precaution(
        "lci", "crops at random", f"{CODE}/lci.py",
        "offsets = example_uniform(self.seed, 73, step, batch, (3, 2)) * (self.image_size - crop)",
        "offsets = tf.fill((batch, 3, 2), 0.5) * (self.image_size - crop)",
        (f"{TESTS}/test_lci.py::test_where_a_crop_lies_is_no_sign_of_a_class",),
    ),
    Precaution(
        "lci", "half of all turned a little", f"{CODE}/lci.py",
        "angles = tf.where(tilts[..., 0] < TILTED_SHARE, (2 * tilts[..., 1] - 1) * TILT, 0.0)",
        "angles = tf.zeros((batch, 3))",
        (f"{TESTS}/test_lci.py::test_a_small_turn_is_no_sign_of_a_class",),
    ),
    Precaution(
        "byol", "a predictor", f"{CODE}/byol.py",
        "self.prediction(self.projected(views, training), training=training)",
        "self.projected(views, training)",
        (f"{TESTS}/test_byol.py::test_the_loss_by_hand",),
    ),
    Precaution(
        "byol", "a predictor on one side only", f"{CODE}/byol.py",
        "tf.math.l2_normalize(self.targets(views, training), axis=-1)",
        "tf.math.l2_normalize(self.prediction(self.targets(views, training), training=training), axis=-1)",
        (f"{TESTS}/test_byol.py::test_the_loss_by_hand",),
    ),
    Precaution(
        "byol", "no gradient to the target", f"{CODE}/byol.py",
        "return tf.stop_gradient(self.target_projection(pooled, training=training, update_statistics=False))",
        "return self.target_projection(pooled, training=training, update_statistics=False)",
        (f"{TESTS}/test_byol.py::test_no_gradient_and_no_optimizer_reach_the_target",),
    ),
    Precaution(
        "byol", "no optimizer for the target", f"{CODE}/byol.py",
        "        self.target_backbone.trainable = self.target_projection.trainable = False\n",
        "",
        (f"{TESTS}/test_byol.py::test_no_gradient_and_no_optimizer_reach_the_target",),
    ),
    Precaution(
        "byol", "the target is a moving average", f"{CODE}/byol.py",
        "target.assign(TAU * target + (1 - TAU) * online)",
        "target.assign(online)",
        (f"{TESTS}/test_byol.py::test_the_target_is_the_moving_average_of_the_online_network",),
    ),
    Precaution(
        "barlow-twins", "different outputs must be uncorrelated", f"{CODE}/barlow_twins.py",
        "return same + redundancy * different",
        "return same",
        (f"{TESTS}/test_barlow_twins.py::test_the_task_minimises_the_redundancy",),
    ),
    Precaution(
        "barlow-twins", "outputs normalised over the batch", f"{CODE}/barlow_twins.py",
        "(normalised(half) for half in",
        "(half for half in",
        (f"{TESTS}/test_barlow_twins.py::test_the_task_normalises_the_outputs_of_each_view",),
    ),
]  # fmt: skip
