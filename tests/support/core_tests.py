"""The tests of `pytest -m core`: every package in about a minute. Tests that carry the mark themselves join them."""

# An entry is the beginning of node ids: a folder, a file, or a test, without "tests/".
CORE = [
    "analysis/test_profiler.py",
    "autograd/",
    "cli/test_info.py::test_json_has_every_fact",
    "cuda/test_sgd_kernels.py",
    "data/test_data.py",
    "distributed/test_launch.py",
    "distributed/test_data_parallel.py::test_a_gradient_that_one_rank_lacks",
    "docs/",
    "evaluation/test_predict_report.py",
    "gradient_check/test_gradcheck_documentation.py",
    "interchange/test_reading.py",
    "models/test_selective_kernel.py::test_sk_conv_equals_the_paper_in_output_attention_and_every_gradient[two",
    "nn/",
    "optim/",
    "random_programs/test_random_programs.py::test_every_operation_is_drawn_or_left_out_with_a_reason",
    "runtime/test_launcher.py::test_scalars_are_converted_to_the_declared_type",
    "sanitizer/test_checker_counters.py::test_wavefronts_of_a_request[i-1]",
    "sanitizer/test_checker_counters.py::test_bytes_of_a_block_are_distinct_bytes",
    "training/test_training.py::test_a_run_leaves_its_config",
    "training/test_training.py::test_one_seed_gives_one_run",
]
# Tests among these that take a second or more each.
NOT_CORE = [
    "test_a_chain_of_200000_additions",
    "test_a_gpu_is_",
    "test_a_recomputed_network_has_the_same_bits",
    "test_every_image_is_seen_once",
    "test_every_model_has_a_well_formed_tree",
    "test_nothing_ends_the_process",
    "test_train_cifar_profile",
]
