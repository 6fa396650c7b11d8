//! Every pass, by the variant of `Call` that it is. How an op's parameters are drawn is the function of its name
//! in `params`.

/// Hands the list to a macro that takes it.
macro_rules! for_each_pass {
    ($act:ident) => {
        $act! {
            conv2d => {
                forward: Conv2dForward,
                backward_input: Conv2dBackwardInput,
                backward_weight: Conv2dBackwardWeight,
                backward_bias: Conv2dBackwardBias,
            }
            conv2d_joined => {
                forward: Conv2dJoinedForward,
                backward_input: Conv2dJoinedBackwardInput,
            }
            conv2d_split_channels => {
                forward: Conv2dSplitChannelsForward,
                sum_forward: Conv2dSplitChannelsSumForward,
                backward_input: Conv2dSplitChannelsBackwardInput,
                sum_backward_input: Conv2dSplitChannelsSumBackwardInput,
            }
            conv2d_split_k => {
                backward_weight: Conv2dSplitKBackwardWeight,
                reduce: Conv2dSplitKReduce,
            }
            conv2d_statistics => {
                forward: Conv2dStatisticsForward,
                merge: Conv2dStatisticsMerge,
                merge_planes: Conv2dStatisticsMergePlanes,
            }
            conv2d_norm_relu => {
                forward_eval: Conv2dNormReluForwardEval,
            }
            conv_transpose2d => {
                forward: ConvTranspose2dForward,
                backward_input: ConvTranspose2dBackwardInput,
                backward_weight: ConvTranspose2dBackwardWeight,
                backward_bias: ConvTranspose2dBackwardBias,
            }
            conv_transpose2d_split_k => {
                backward_weight: ConvTranspose2dSplitKBackwardWeight,
                reduce: ConvTranspose2dSplitKReduce,
            }
            max_pool2d => {
                forward: MaxPool2dForward,
                backward_input: MaxPool2dBackwardInput,
            }
            batch_norm => {
                statistics: BatchNormStatistics,
                forward: BatchNormForward,
                forward_eval: BatchNormForwardEval,
                backward_weight: BatchNormBackwardWeight,
                backward_input: BatchNormBackwardInput,
            }
            batch_norm_relu => {
                forward: BatchNormReluForward,
                backward_weight: BatchNormReluBackwardWeight,
                backward_input: BatchNormReluBackwardInput,
            }
            batch_norm_split => {
                statistics: BatchNormSplitStatistics,
                merge: BatchNormSplitMerge,
                backward_weight: BatchNormSplitBackwardWeight,
                merge_backward_weight: BatchNormSplitMergeBackwardWeight,
            }
            instance_norm => {
                statistics: InstanceNormStatistics,
                forward: InstanceNormForward,
                backward_statistics: InstanceNormBackwardStatistics,
                backward_input: InstanceNormBackwardInput,
            }
            relu => {
                forward: ReluForward,
                backward_input: ReluBackwardInput,
            }
            dropout => {
                mask: DropoutMask,
                forward: DropoutForward,
                backward_input: DropoutBackwardInput,
            }
            dropout_masks => {
                draw: DropoutMasksDraw,
            }
            concat_channels => {
                forward: ConcatChannelsForward,
                backward_input: ConcatChannelsBackwardInput,
            }
            softmax => {
                forward: SoftmaxForward,
                backward_input: SoftmaxBackwardInput,
            }
            crop => {
                images: CropImages,
                labels: CropLabels,
            }
            warp => {
                images: WarpImages,
                labels: WarpLabels,
            }
            cross_entropy => {
                forward: CrossEntropyForward,
                reduce: CrossEntropyReduce,
                backward_input: CrossEntropyBackwardInput,
            }
            adam => { update: AdamUpdate }
            entropy => {
                forward: EntropyForward,
            }
            least_confidence => {
                forward: LeastConfidenceForward,
            }
            bald => {
                accumulate: BaldAccumulate,
                entropy_of_mean: BaldEntropyOfMean,
                mutual_information: BaldMutualInformation,
            }
            segmentation_head => {
                entropy: SegmentationHeadEntropy,
                least_confidence: SegmentationHeadLeastConfidence,
                accumulate: SegmentationHeadAccumulate,
            }
            patch_sum => {
                forward: PatchSumForward,
            }
            global_avg_pool2d => {
                forward: GlobalAvgPool2dForward,
            }
            pairwise_sq_dist => { forward: PairwiseSqDistForward }
            min_sq_dist => { forward: MinSqDistForward }
            k_center_greedy => {
                add_center: KCenterGreedyAddCenter,
            }
            k_means_plus_plus => {
                measure: KMeansPlusPlusMeasure,
                draw: KMeansPlusPlusDraw,
            }
            k_means => {
                assign: KMeansAssign,
                update: KMeansUpdate,
                check_convergence: KMeansCheckConvergence,
            }
            confusion => { forward: ConfusionForward }
            allclose => { count: AllcloseCount }
        }
    };
}

pub(crate) use for_each_pass;
